#include "napi/boxes.h"

#include <utility>

#include "ce/failure.h"

namespace ce {
namespace {

template <class T>
std::shared_ptr<T> Open(const std::shared_ptr<T>& content, const char* what) {
  if (content) return content;
  throw Failure("CE_CLOSED", std::string("The ") + what + " is closed", "Use it before close() is called");
}

}  // namespace

std::shared_ptr<Device> DeviceOf(const Napi::Value& value) {
  return Open(Boxed<DeviceBox>::Get(value).device, DeviceBox::kTypeName);
}
MemoryPtr MemoryOf(const Napi::Value& value) { return Open(Boxed<MemoryBox>::Get(value).memory, MemoryBox::kTypeName); }
std::shared_ptr<Stream> StreamOf(const Napi::Value& value) {
  return Open(Boxed<StreamBox>::Get(value).stream, StreamBox::kTypeName);
}

Napi::Value BoxMemory(Napi::Env env, MemoryPtr memory) {
  auto box = std::make_unique<MemoryBox>();
  box->memory = std::move(memory);
  return Boxed<MemoryBox>::New(env, std::move(box));
}

}  // namespace ce
