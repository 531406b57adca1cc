// C++ objects that JavaScript holds as opaque objects, recognized by a type tag.
#pragma once

#include <napi.h>

#include <memory>
#include <string>

namespace ce {

// T defines its tag, a random constant: `static constexpr napi_type_tag kTypeTag`, and its `kTypeName` for messages.
template <class T>
class Boxed {
 public:
  static Napi::Object New(Napi::Env env, std::unique_ptr<T> content) {
    Napi::Object box = Napi::Object::New(env);
    box.TypeTag(&T::kTypeTag);
    const napi_status status = napi_wrap(
        env, box, content.get(), [](napi_env, void* data, void*) { delete static_cast<T*>(data); }, nullptr, nullptr);
    if (status != napi_ok) throw Napi::Error::New(env);
    content.release();
    return box;
  }

  // Throws TypeError unless `value` is a box of T.
  static T& Get(const Napi::Value& value) {
    void* data = nullptr;
    if (value.IsObject()) {
      const auto object = value.As<Napi::Object>();
      if (object.CheckTypeTag(&T::kTypeTag) && napi_unwrap(value.Env(), object, &data) == napi_ok) {
        return *static_cast<T*>(data);
      }
    }
    throw Napi::TypeError::New(value.Env(), std::string("Expected a ") + T::kTypeName + " of this package");
  }
};

}  // namespace ce
