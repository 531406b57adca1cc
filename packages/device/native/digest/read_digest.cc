#include "digest/read_digest.h"

#include <algorithm>
#include <utility>

namespace ce {

ReadDigest::ReadDigest(DigestPlan plan) : ranges_(std::move(plan.ranges)), sums_(plan) {
  const auto before = [](const DigestRange& a, const DigestRange& b) { return a.memory_offset < b.memory_offset; };
  if (!std::is_sorted(ranges_.begin(), ranges_.end(), before)) std::sort(ranges_.begin(), ranges_.end(), before);
}

void ReadDigest::Filled(const uint8_t* data, uint64_t begin, size_t size) noexcept {
  const uint64_t end = begin + size;
  auto range = std::partition_point(ranges_.begin(), ranges_.end(), [begin](const DigestRange& candidate) {
    return candidate.memory_offset + candidate.row_bytes <= begin;
  });
  for (; range != ranges_.end() && range->memory_offset < end; ++range) {
    const uint64_t from = std::max(begin, range->memory_offset);
    const uint64_t to = std::min(end, range->memory_offset + range->row_bytes);
    if (from >= to) continue;
    const uint64_t position = range->position + (from - range->memory_offset);
    sums_.Add(data + (from - begin), to - from, position, *range, DigestSums::Level::kCache);
  }
}

}  // namespace ce
