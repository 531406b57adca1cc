// The functions that transport-nccl's TypeScript calls. See src/native.ts for the declarations.
#include <napi.h>

#include <cstring>

#include "ce/arguments.h"
#include "ce/async.h"
#include "ce/boxed.h"
#include "ce/js_error.h"
#include "communicator.h"
#include "nccl_library.h"

namespace ce {

namespace {

struct EnvData {
  std::shared_ptr<JsQueue> queue;
};

const std::shared_ptr<JsQueue>& QueueOf(Napi::Env env) { return env.GetInstanceData<EnvData>()->queue; }

// open(candidates): {path, version}
Napi::Value Open(const Napi::CallbackInfo& info) {
  const NcclLibrary& nccl = NcclLibrary::Open(ToTexts(info[0], "candidates"));
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("path", nccl.path);
  result.Set("version", nccl.VersionText());
  return result;
}

// uniqueId(candidates): Promise<Uint8Array>. It opens a listening socket, so it runs off the JS thread.
Napi::Value UniqueId(const Napi::CallbackInfo& info) {
  const NcclLibrary& nccl = NcclLibrary::Open(ToTexts(info[0], "candidates"));
  return Async(info.Env(), QueueOf(info.Env()), [&nccl]() -> MakeValue {
    ncclUniqueId id;
    const ncclResult_t status = nccl.GetUniqueId(&id);
    if (status != kNcclSuccess) throw nccl.FailureOf(status, "ncclGetUniqueId", nullptr);
    return [id](Napi::Env env) {
      Napi::Uint8Array bytes = Napi::Uint8Array::New(env, sizeof id);
      std::memcpy(bytes.Data(), id.internal, sizeof id);
      return bytes;
    };
  });
}

// join(candidates, device, rank, size, id, timeoutMs): {communicator, ready: Promise<void>}
Napi::Value Join(const Napi::CallbackInfo& info) {
  const NcclLibrary& nccl = NcclLibrary::Open(ToTexts(info[0], "candidates"));
  Communicator::Options options{};
  options.device = ToInt(info[1], "device");
  options.rank = ToInt(info[2], "rank");
  options.size = ToInt(info[3], "size");
  if (!info[4].IsTypedArray() || info[4].As<Napi::TypedArray>().ByteLength() != sizeof options.id) {
    throw Napi::TypeError::New(info.Env(), "id must be a Uint8Array of 128 bytes");
  }
  std::memcpy(options.id.internal, info[4].As<Napi::Uint8Array>().Data(), sizeof options.id);
  options.timeout = std::chrono::milliseconds(ToBytes(info[5], "timeoutMs"));
  Settler ready(info.Env(), QueueOf(info.Env()));
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("ready", ready.promise(info.Env()));
  result.Set("communicator",
             Boxed<Communicator>::New(info.Env(), std::make_unique<Communicator>(nccl, options, ready)));
  return result;
}

// broadcast(communicator, send, receive, sizeBytes, root): Promise<void>
Napi::Value BroadcastBytes(const Napi::CallbackInfo& info) {
  Communicator& communicator = Boxed<Communicator>::Get(info[0]);
  const uint64_t send = ToAddress(info[1], "send");
  const uint64_t receive = ToAddress(info[2], "receive");
  const uint64_t bytes = ToBytes(info[3], "sizeBytes");
  const int root = ToInt(info[4], "root");
  Settler done(info.Env(), QueueOf(info.Env()));
  communicator.Broadcast(send, receive, bytes, root, done);
  return done.promise(info.Env());
}

// abort(communicator)
Napi::Value Abort(const Napi::CallbackInfo& info) {
  Boxed<Communicator>::Get(info[0]).Abort();
  return info.Env().Undefined();
}

// close(communicator): Promise<void>
Napi::Value Close(const Napi::CallbackInfo& info) {
  Settler done(info.Env(), QueueOf(info.Env()));
  Boxed<Communicator>::Get(info[0]).Close(done);
  return done.promise(info.Env());
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new EnvData{JsQueue::Create(env)});
  Export<Open>(exports, "open");
  Export<UniqueId>(exports, "uniqueId");
  Export<Join>(exports, "join");
  Export<BroadcastBytes>(exports, "broadcast");
  Export<Abort>(exports, "abort");
  Export<Close>(exports, "close");
  return exports;
}

}  // namespace

NODE_API_MODULE(ce_nccl, Init)

}  // namespace ce
