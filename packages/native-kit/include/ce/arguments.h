// Checked conversions of arguments from JavaScript.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

namespace ce {

// A whole number of bytes, 0 to 2^53 - 1. Throws TypeError or RangeError.
inline uint64_t ToBytes(Napi::Env env, double value, const char* name) {
  constexpr double kLimit = 9007199254740991.0;
  if (!(value >= 0 && value <= kLimit) || value != static_cast<double>(static_cast<uint64_t>(value))) {
    throw Napi::RangeError::New(env, std::string(name) + " must be a whole number of bytes, 0 or more: " +
                                         Napi::Number::New(env, value).ToString().Utf8Value());
  }
  return static_cast<uint64_t>(value);
}

inline uint64_t ToBytes(const Napi::Value& value, const char* name) {
  if (!value.IsNumber()) throw Napi::TypeError::New(value.Env(), std::string(name) + " must be a number");
  return ToBytes(value.Env(), value.As<Napi::Number>().DoubleValue(), name);
}

// A whole number, 0 to 2^31 - 1. Throws TypeError or RangeError.
inline int ToInt(const Napi::Value& value, const char* name) {
  if (!value.IsNumber()) throw Napi::TypeError::New(value.Env(), std::string(name) + " must be a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0 && number <= INT32_MAX) || number != static_cast<double>(static_cast<int>(number))) {
    throw Napi::RangeError::New(value.Env(), std::string(name) + " must be a whole number from 0 to 2147483647: " +
                                                 value.ToString().Utf8Value());
  }
  return static_cast<int>(number);
}

// A memory address. Throws TypeError or RangeError.
inline uint64_t ToAddress(const Napi::Value& value, const char* name) {
  if (!value.IsBigInt()) throw Napi::TypeError::New(value.Env(), std::string(name) + " must be a bigint");
  bool lossless = false;
  const uint64_t address = value.As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) throw Napi::RangeError::New(value.Env(), std::string(name) + " must be an address of 64 bits");
  return address;
}

inline std::string ToText(const Napi::Value& value, const char* name) {
  if (!value.IsString()) throw Napi::TypeError::New(value.Env(), std::string(name) + " must be a string");
  return value.As<Napi::String>().Utf8Value();
}

inline std::vector<std::string> ToTexts(const Napi::Value& value, const char* name) {
  if (!value.IsArray()) throw Napi::TypeError::New(value.Env(), std::string(name) + " must be an array");
  const auto array = value.As<Napi::Array>();
  std::vector<std::string> texts;
  texts.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); i++) texts.push_back(ToText(array.Get(i), name));
  return texts;
}

// The doubles of a Float64Array, valid while the array is.
struct Rows {
  const double* data;
  size_t length;
};
inline Rows ToRows(const Napi::Value& value, size_t columns, const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array ||
      value.As<Napi::TypedArray>().ElementLength() % columns != 0) {
    throw Napi::TypeError::New(value.Env(), std::string(name) + " must be a Float64Array of whole rows");
  }
  const auto array = value.As<Napi::Float64Array>();
  return {array.Data(), array.ElementLength() / columns};
}

// Throws RangeError unless [offset, offset + size) is within `limit` bytes.
inline void CheckRange(Napi::Env env, uint64_t offset, uint64_t size, uint64_t limit) {
  if (offset > limit || size > limit - offset) {
    throw Napi::RangeError::New(env, "The range of " + std::to_string(size) + " bytes at " + std::to_string(offset) +
                                         " is outside the memory of " + std::to_string(limit) + " bytes");
  }
}

}  // namespace ce
