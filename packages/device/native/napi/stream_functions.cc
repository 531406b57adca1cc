#include <utility>

#include "ce/arguments.h"
#include "ce/js_error.h"
#include "napi/boxes.h"
#include "napi/environment.h"
#include "napi/exports.h"

namespace ce {
namespace {

constexpr size_t kColumns = 5;

const MemoryPtr& MemoryAt(Napi::Env env, const CopyBatch& batch, double place) {
  const uint64_t index = ToBytes(env, place, "An index into memories");
  if (index < batch.memories.size()) return batch.memories[index];
  throw Napi::RangeError::New(
      env, "Memory index " + std::to_string(index) + " is outside the list of " + std::to_string(batch.memories.size()));
}

// Rows of [from, fromOffset, to, toOffset, size]; `from` and `to` are places in `memories`.
CopyBatch ToBatch(const Napi::Value& memories, const Napi::Value& table) {
  const Napi::Env env = memories.Env();
  if (!memories.IsArray()) throw Napi::TypeError::New(env, "memories must be an array");
  const auto array = memories.As<Napi::Array>();
  CopyBatch batch;
  for (uint32_t i = 0; i < array.Length(); i++) batch.memories.push_back(MemoryOf(array.Get(i)));

  const Rows rows = ToRows(table, kColumns, "rows");
  batch.ranges.reserve(rows.length);
  for (size_t i = 0; i < rows.length; i++) {
    const double* row = rows.data + i * kColumns;
    const MemoryPtr& from = MemoryAt(env, batch, row[0]);
    const MemoryPtr& to = MemoryAt(env, batch, row[2]);
    const uint64_t from_offset = ToBytes(env, row[1], "from.offsetBytes");
    const uint64_t to_offset = ToBytes(env, row[3], "to.offsetBytes");
    const uint64_t size = ToBytes(env, row[4], "sizeBytes");
    CheckRange(env, from_offset, size, from->size());
    CheckRange(env, to_offset, size, to->size());
    if (size == 0) continue;
    batch.ranges.push_back({from->address() + from_offset, to->address() + to_offset, size, from.get(), to.get()});
  }
  return batch;
}

// createStream(device)
Napi::Value CreateStream(const Napi::CallbackInfo& info) {
  auto box = std::make_unique<StreamBox>();
  box->stream = DeviceOf(info[0])->CreateStream();
  return Boxed<StreamBox>::New(info.Env(), std::move(box));
}

// closeStream(stream): submitted copies still complete.
Napi::Value CloseStream(const Napi::CallbackInfo& info) {
  Boxed<StreamBox>::Get(info[0]).stream.reset();
  return info.Env().Undefined();
}

// copy(stream, memories, rows)
Napi::Value Copy(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::shared_ptr<Stream> stream = StreamOf(info[0]);
  CopyBatch batch = ToBatch(info[1], info[2]);
  Settler settler(env, Environment::Queue(env));
  stream->Submit(std::move(batch), [settler](const std::optional<Failure>& failure) {
    failure ? settler.Reject(*failure) : settler.Resolve(Nothing());
  });
  return settler.promise(env);
}

}  // namespace

void ExportStreamFunctions(Napi::Object exports) {
  Export<CreateStream>(exports, "createStream");
  Export<CloseStream>(exports, "closeStream");
  Export<Copy>(exports, "copy");
}

}  // namespace ce
