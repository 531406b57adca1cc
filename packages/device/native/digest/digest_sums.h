// Sums of digests that several threads add to.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "digest/digest_plan.h"

namespace ce {

class DigestSums {
 public:
  // Where the added bytes are expected.
  enum class Level { kMemory, kCache };

  explicit DigestSums(const DigestPlan& plan) : block_bytes_(plan.block_bytes), sums_(plan.sum_count) {}

  // Adds `size` bytes of `range` that begin `position` bytes into the tensor.
  void Add(const uint8_t* data, size_t size, uint64_t position, const DigestRange& range, Level level) noexcept;
  std::vector<uint64_t> Get() const { return {sums_.begin(), sums_.end()}; }

 private:
  const uint64_t block_bytes_;
  std::vector<std::atomic<uint64_t>> sums_;
};

}  // namespace ce
