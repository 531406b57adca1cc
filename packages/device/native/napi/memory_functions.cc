#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "ce/arguments.h"
#include "ce/js_error.h"
#include "copy/write_job.h"
#include "memory/backing_file.h"
#include "napi/boxes.h"
#include "napi/environment.h"
#include "napi/exports.h"

namespace ce {
namespace {

constexpr uint64_t kLargestView = uint64_t{2} << 30;

// Returns false if the buffer was already detached.
bool Detach(const Napi::ArrayBuffer& buffer) {
  bool detached = false;
  napi_is_detached_arraybuffer(buffer.Env(), buffer, &detached);
  return !detached && napi_detach_arraybuffer(buffer.Env(), buffer) == napi_ok;
}

Napi::Uint8Array ToUint8Array(const Napi::Value& value) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw Napi::TypeError::New(value.Env(), "bytes must be a Uint8Array");
  }
  return value.As<Napi::Uint8Array>();
}

// memoryAddress(memory): 0n once closed.
Napi::Value MemoryAddress(const Napi::CallbackInfo& info) {
  const MemoryPtr& memory = Boxed<MemoryBox>::Get(info[0]).memory;
  return Napi::BigInt::New(info.Env(), memory ? memory->address() : uint64_t{0});
}

Napi::Value MemorySize(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(MemoryOf(info[0])->size()));
}

Napi::Value MemoryIsHost(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), MemoryOf(info[0])->kind() == MemoryKind::kHost);
}

// memoryHandle(memory): undefined if it is not shared.
Napi::Value MemoryHandle(const Napi::CallbackInfo& info) {
  const std::string handle = MemoryOf(info[0])->handle();
  if (handle.empty()) return info.Env().Undefined();
  Napi::Uint8Array bytes = Napi::Uint8Array::New(info.Env(), handle.size());
  std::copy(handle.begin(), handle.end(), bytes.Data());
  return bytes;
}

Napi::Value MemoryPinned(const Napi::CallbackInfo& info) {
  const MemoryPtr& memory = Boxed<MemoryBox>::Get(info[0]).memory;
  return Napi::Boolean::New(info.Env(), memory && memory->pinned());
}

// closeMemory(memory, discard?)
Napi::Value CloseMemory(const Napi::CallbackInfo& info) {
  MemoryBox& box = Boxed<MemoryBox>::Get(info[0]);
  if (!box.memory) return info.Env().Undefined();
  for (const auto& [buffer, held] : box.views) {
    if (buffer.IsEmpty() || buffer.Value().IsEmpty() || !Detach(buffer.Value())) continue;
    // The finalizer runs some time later; this releases the memory now.
    if (const auto owner = held.lock()) owner->reset();
  }
  box.views.clear();
  if (info[1].ToBoolean()) box.memory->Discard();
  box.memory->Retire();
  box.memory.reset();
  return info.Env().Undefined();
}

// view(memory, offsetBytes, sizeBytes): an ArrayBuffer over the memory, which it keeps alive.
Napi::Value View(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const MemoryPtr memory = MemoryOf(info[0]);
  const uint64_t offset = ToBytes(info[1], "offsetBytes");
  const uint64_t size = ToBytes(info[2], "sizeBytes");
  CheckRange(env, offset, size, memory->size());
  if (memory->kind() != MemoryKind::kHost) throw Napi::TypeError::New(env, "Device memory cannot be viewed");
  if (size > kLargestView) throw Napi::RangeError::New(env, "A view has at most 2 GiB: " + std::to_string(size));
  if (size == 0) return Napi::ArrayBuffer::New(env, 0);
  using Owner = std::shared_ptr<MemoryPtr>;
  auto owner = std::make_unique<Owner>(std::make_shared<MemoryPtr>(memory));
  const std::weak_ptr<MemoryPtr> held = *owner;
  napi_value value;
  const napi_status status = napi_create_external_arraybuffer(
      env, memory->host_data() + offset, size, [](napi_env, void*, void* hint) { delete static_cast<Owner*>(hint); },
      owner.get(), &value);
  if (status != napi_ok) {
    throw Failure("CE_NOT_SUPPORTED", "This runtime does not support views of external memory", "Use Node.js or Deno")
        .From("napi_create_external_arraybuffer", status);
  }
  owner.release();
  const Napi::ArrayBuffer buffer(env, value);
  auto& views = Boxed<MemoryBox>::Get(info[0]).views;
  views.erase(
      std::remove_if(views.begin(), views.end(), [](const auto& view) { return view.buffer.Value().IsEmpty(); }),
      views.end());
  views.push_back({Napi::Reference<Napi::ArrayBuffer>::New(buffer, 0), held});
  return buffer;
}

// detach(buffer): detaches one view.
Napi::Value DetachView(const Napi::CallbackInfo& info) {
  if (!info[0].IsArrayBuffer()) throw Napi::TypeError::New(info.Env(), "Expected an ArrayBuffer");
  Detach(info[0].As<Napi::ArrayBuffer>());
  return info.Env().Undefined();
}

// writeNow(memory, offsetBytes, bytes, start, sizeBytes): copies a part of `bytes`, which go to `offsetBytes` as a
// whole, before it returns. Therefore the bytes cannot disappear during the copy: their buffer may be closed,
// transferred or freed at any other time, and nothing keeps its memory alive.
Napi::Value WriteNow(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const MemoryPtr memory = MemoryOf(info[0]);
  const uint64_t offset = ToBytes(info[1], "offsetBytes");
  const Napi::Uint8Array bytes = ToUint8Array(info[2]);
  const uint64_t start = ToBytes(info[3], "start");
  const uint64_t size = ToBytes(info[4], "sizeBytes");
  CheckRange(env, offset, bytes.ByteLength(), memory->size());
  CheckRange(env, start, size, bytes.ByteLength());
  if (memory->kind() != MemoryKind::kHost) throw Napi::TypeError::New(env, "Device memory cannot be written to");
  if (size > 0) std::memmove(memory->host_data() + offset + start, bytes.Data() + start, size);
  memory->Filled(size);
  return env.Undefined();
}

// write(device, memory, offsetBytes, bytes): by threads of the device. Only for `bytes` in a SharedArrayBuffer, which
// is neither freed nor moved while an array over it exists.
Napi::Value Write(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::shared_ptr<ThreadPool> pool = DeviceOf(info[0])->copy_pool();
  const MemoryPtr memory = MemoryOf(info[1]);
  const uint64_t offset = ToBytes(info[2], "offsetBytes");
  const Napi::Uint8Array bytes = ToUint8Array(info[3]);
  CheckRange(env, offset, bytes.ByteLength(), memory->size());
  CopyBatch batch;
  batch.memories.push_back(memory);
  batch.ranges.push_back({reinterpret_cast<uint64_t>(bytes.Data()), memory->address() + offset, bytes.ByteLength(),
                          nullptr, memory.get()});
  Settler settler(env, Environment::Queue(env));
  settler.Keep(bytes);
  settler.Start([&] {
    auto job =
        std::make_shared<WriteJob>(std::move(batch), [settler, pool](const auto&) { settler.Resolve(Nothing()); });
    Environment::Writes(env).Add(job);
    pool->Submit(std::move(job));
  });
  return settler.promise(env);
}

// pin(device, memory)
Napi::Value Pin(const Napi::CallbackInfo& info) {
  return Async(info.Env(), [device = DeviceOf(info[0]), memory = MemoryOf(info[1])] {
    device->Pin(memory);
    return Nothing();
  });
}

// fileState(memory): the state of the mapped file.
Napi::Value FileStateOf(const Napi::CallbackInfo& info) {
  return Async(info.Env(), [memory = MemoryOf(info[0])]() -> MakeValue {
    const BackingFile* const file = memory->file();
    if (file == nullptr)
      throw Failure("CE_NOT_SUPPORTED", "This memory does not map a file", "Call it on the result of mapFile()");
    return [state = file->State()](Napi::Env env) {
      Napi::Object result = Napi::Object::New(env);
      result.Set("device", Napi::BigInt::New(env, state.device));
      result.Set("inode", Napi::BigInt::New(env, state.inode));
      result.Set("sizeBytes", static_cast<double>(state.size));
      result.Set("modifiedNs", Napi::BigInt::New(env, state.modified_ns));
      result.Set("changedNs", Napi::BigInt::New(env, state.changed_ns));
      result.Set("links", static_cast<double>(state.links));
      return result;
    };
  });
}

}  // namespace

void ExportMemoryFunctions(Napi::Object exports) {
  Export<MemoryAddress>(exports, "memoryAddress");
  Export<MemorySize>(exports, "memorySize");
  Export<MemoryIsHost>(exports, "memoryIsHost");
  Export<MemoryHandle>(exports, "memoryHandle");
  Export<MemoryPinned>(exports, "memoryPinned");
  Export<CloseMemory>(exports, "closeMemory");
  Export<View>(exports, "view");
  Export<DetachView>(exports, "detach");
  Export<WriteNow>(exports, "writeNow");
  Export<Write>(exports, "write");
  Export<Pin>(exports, "pin");
  Export<FileStateOf>(exports, "fileState");
}

}  // namespace ce
