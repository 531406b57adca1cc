// The assignment of bytes of a memory to digests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ce {

// Rows of bytes of one tensor: row i starts at `memory_offset + i * memory_pitch` of the memory and at
// `position + i * position_pitch` of the tensor.
struct DigestRange {
  uint64_t memory_offset;
  uint64_t rows;
  uint64_t row_bytes;
  uint64_t memory_pitch;
  uint64_t position;
  uint64_t position_pitch;
  // Index of the sum that the bytes of the range's first block are added to.
  size_t sum;
  // Index of that block in the tensor.
  uint64_t first_block = 0;
};

struct DigestPlan {
  std::vector<DigestRange> ranges;
  // Bytes of a tensor that share a sum; blocks begin at multiples of this. 0: a range adds to one sum.
  uint64_t block_bytes = 0;
  size_t sum_count = 0;
};

}  // namespace ce
