// The copies of one call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "memory/memory.h"

namespace ce {

// One copy between ranges that were checked against their memories.
struct CopyRange {
  uint64_t from;
  uint64_t to;
  size_t size;
  const Memory* from_memory;
  const Memory* to_memory;
};

struct CopyBatch {
  std::vector<CopyRange> ranges;
  std::vector<MemoryPtr> memories;  // Kept alive until the copies are done.
};

}  // namespace ce
