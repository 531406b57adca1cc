// The digests of the bytes that a read loads, computed while the bytes are in the cache.
#pragma once

#include "digest/digest_plan.h"
#include "digest/digest_sums.h"

namespace ce {

class ReadDigest {
 public:
  // Each range of the plan is one row; the ranges do not overlap.
  explicit ReadDigest(DigestPlan plan);

  // Bytes [begin, begin + size) of the memory were read to `data`, and are still in the cache.
  void Filled(const uint8_t* data, uint64_t begin, size_t size) noexcept;
  std::vector<uint64_t> sums() const { return sums_.Get(); }

 private:
  std::vector<DigestRange> ranges_;  // By memory offset.
  DigestSums sums_;
};

}  // namespace ce
