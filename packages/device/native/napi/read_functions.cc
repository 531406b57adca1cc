#include <utility>

#include "ce/arguments.h"
#include "ce/js_error.h"
#include "napi/boxes.h"
#include "napi/digest_arguments.h"
#include "napi/environment.h"
#include "napi/exports.h"

namespace ce {
namespace {

constexpr size_t kColumns = 4;

// Rows of [file, fileOffset, offset, size]; `file` is an index into the list of paths.
std::vector<ReadRange> ToRanges(const Napi::Value& table, size_t files, uint64_t memory_size) {
  const Napi::Env env = table.Env();
  const Rows rows = ToRows(table, kColumns, "rows");
  std::vector<ReadRange> ranges;
  ranges.reserve(rows.length);
  for (size_t i = 0; i < rows.length; i++) {
    const double* row = rows.data + i * kColumns;
    const ReadRange range{static_cast<size_t>(row[0]), ToBytes(env, row[1], "fileOffsetBytes"),
                          ToBytes(env, row[2], "offsetBytes"), ToBytes(env, row[3], "sizeBytes")};
    if (range.file >= files) throw Napi::RangeError::New(env, "a row has the index of a file that is not listed");
    CheckRange(env, range.memory_offset, range.size, memory_size);
    ranges.push_back(range);
  }
  return ranges;
}

// read(device, memory, paths, rows, digestRows?, blockBytes?, sumCount?): { native, promise }; the promise resolves
// with sums if there are digestRows.
Napi::Value Read(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::shared_ptr<Device> device = DeviceOf(info[0]);
  const MemoryPtr memory = MemoryOf(info[1]);
  const std::vector<std::string> paths = ToTexts(info[2], "paths");
  std::vector<ReadRange> ranges = ToRanges(info[3], paths.size(), memory->size());
  std::shared_ptr<ReadDigest> digest;
  if (!info[4].IsUndefined()) {
    digest = std::make_shared<ReadDigest>(ToDigestPlan(info[4], info[5], info[6], memory->size()));
  }
  Settler settler(env, Environment::Queue(env));
  auto box = std::make_unique<ReadBox>();
  settler.Start([&] {
    const auto done = [settler, digest](const std::optional<Failure>& failure) {
      if (failure) return settler.Reject(*failure);
      settler.Resolve(digest ? MakeSums(digest->sums()) : Nothing());
    };
    box->job = device->Read(memory, paths, std::move(ranges), digest, done);
  });
  Napi::Object result = Napi::Object::New(env);
  result.Set("native", Boxed<ReadBox>::New(env, std::move(box)));
  result.Set("promise", settler.promise(env));
  return result;
}

// readDoneBytes(read)
Napi::Value ReadDoneBytes(const Napi::CallbackInfo& info) {
  const auto& job = Boxed<ReadBox>::Get(info[0]).job;
  return Napi::Number::New(info.Env(), job ? static_cast<double>(job->done_bytes()) : 0);
}

// cancelRead(read): the read rejects as soon as no thread writes to the memory any more.
Napi::Value CancelRead(const Napi::CallbackInfo& info) {
  const auto& job = Boxed<ReadBox>::Get(info[0]).job;
  if (job) job->Fail(Failure("CE_ABORTED", "The read was aborted", "Start it again when ready"));
  return info.Env().Undefined();
}

}  // namespace

void ExportReadFunctions(Napi::Object exports) {
  Export<Read>(exports, "read");
  Export<ReadDoneBytes>(exports, "readDoneBytes");
  Export<CancelRead>(exports, "cancelRead");
}

}  // namespace ce
