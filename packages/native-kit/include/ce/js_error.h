// Converts a Failure to a JavaScript error, which TypeScript's fromNativeError() converts to a CheckpointEngineError.
#pragma once

#include <napi.h>

#include "ce/failure.h"

namespace ce {

inline Napi::Error ToJsError(Napi::Env env, const Failure& failure) {
  Napi::Error error = Napi::Error::New(env, failure.message);
  Napi::Object object = error.Value();
  object.Set("code", failure.code);
  object.Set("hint", failure.hint);
  if (!failure.op.empty()) object.Set("op", failure.op);
  if (!failure.detail.empty()) object.Set("detail", failure.detail);
  if (!failure.file.empty()) object.Set("file", failure.file);
  if (failure.status) object.Set("status", *failure.status);
  return error;
}

// Wraps a function of the addon so that a Failure that it throws becomes a JavaScript error.
template <Napi::Value (*function)(const Napi::CallbackInfo&)>
Napi::Value Guarded(const Napi::CallbackInfo& info) {
  try {
    return function(info);
  } catch (const Failure& failure) {
    throw ToJsError(info.Env(), failure);
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& error) {
    throw ToJsError(info.Env(), ToFailure(error));
  }
}

template <Napi::Value (*function)(const Napi::CallbackInfo&)>
void Export(Napi::Object exports, const char* name) {
  exports.Set(name, Napi::Function::New<Guarded<function>>(exports.Env(), name));
}

}  // namespace ce
