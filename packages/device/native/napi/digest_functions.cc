#include <algorithm>
#include <memory>
#include <utility>

#include "ce/arguments.h"
#include "ce/js_error.h"
#include "digest/digest_job.h"
#include "napi/boxes.h"
#include "napi/digest_arguments.h"
#include "napi/environment.h"
#include "napi/exports.h"

namespace ce {
namespace {

constexpr size_t kColumns = 7;

// From the start of the first row to the end of the last one. Throws RangeError if that is more than 2^53 bytes.
uint64_t SpanOf(Napi::Env env, uint64_t rows, uint64_t row_bytes, uint64_t pitch) {
  if (rows == 0) return 0;
  const double span = static_cast<double>(rows - 1) * static_cast<double>(pitch) + static_cast<double>(row_bytes);
  return ToBytes(env, span, "The span of a box");
}

// digest(device, memory, rows, blockBytes, sumCount)
Napi::Value Digest(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::shared_ptr<ThreadPool> pool = DeviceOf(info[0])->copy_pool();
  const MemoryPtr memory = MemoryOf(info[1]);
  if (memory->kind() != MemoryKind::kHost) throw Napi::TypeError::New(env, "Only host memory can be digested");
  DigestPlan plan = ToDigestPlan(info[2], info[3], info[4], memory->size());
  Settler settler(env, Environment::Queue(env));
  settler.Start([&] {
    pool->Submit(std::make_shared<DigestJob>(
        memory, std::move(plan), [settler, pool](std::vector<uint64_t> sums, const std::optional<Failure>& failure) {
          failure ? settler.Reject(*failure) : settler.Resolve(MakeSums(std::move(sums)));
        }));
  });
  return settler.promise(env);
}

}  // namespace

DigestPlan ToDigestPlan(const Napi::Value& table, const Napi::Value& block_bytes, const Napi::Value& sum_count,
                        uint64_t memory_size) {
  const Napi::Env env = table.Env();
  const Rows rows = ToRows(table, kColumns, "rows");
  DigestPlan plan;
  plan.block_bytes = ToBytes(block_bytes, "blockBytes");
  plan.sum_count = static_cast<size_t>(ToInt(sum_count, "sumCount"));
  plan.ranges.reserve(rows.length);
  for (size_t i = 0; i < rows.length; i++) {
    const double* row = rows.data + i * kColumns;
    DigestRange range{ToBytes(env, row[0], "offsetBytes"),
                      ToBytes(env, row[1], "rows"),
                      ToBytes(env, row[2], "rowBytes"),
                      ToBytes(env, row[3], "pitchBytes"),
                      ToBytes(env, row[4], "positionBytes"),
                      ToBytes(env, row[5], "positionPitchBytes"),
                      ToBytes(env, row[6], "sum")};
    CheckRange(env, range.memory_offset, SpanOf(env, range.rows, range.row_bytes, range.memory_pitch), memory_size);
    const uint64_t last = range.position + SpanOf(env, range.rows, range.row_bytes, range.position_pitch);
    uint64_t blocks = 0;
    if (plan.block_bytes > 0) range.first_block = range.position / plan.block_bytes;
    if (plan.block_bytes > 0 && last > range.position) blocks = (last - 1) / plan.block_bytes - range.first_block;
    if (range.sum + blocks >= plan.sum_count) throw Napi::RangeError::New(env, "rows name a sum that does not exist");
    plan.ranges.push_back(range);
  }
  return plan;
}

MakeValue MakeSums(std::vector<uint64_t> sums) {
  return [sums = std::move(sums)](Napi::Env env) -> Napi::Value {
    Napi::BigUint64Array array = Napi::BigUint64Array::New(env, sums.size());
    std::copy(sums.begin(), sums.end(), array.Data());
    return array;
  };
}

void ExportDigestFunctions(Napi::Object exports) { Export<Digest>(exports, "digest"); }

}  // namespace ce
