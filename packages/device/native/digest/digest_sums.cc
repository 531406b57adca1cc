#include "digest/digest_sums.h"

#include <algorithm>

#include "digest/digest.h"

namespace ce {

void DigestSums::Add(const uint8_t* data, size_t size, uint64_t position, const DigestRange& range, Level level) noexcept {
  const auto digest = level == Level::kCache ? DigestCachedBytes : DigestBytes;
  while (size > 0) {
    const size_t part = block_bytes_ == 0 ? size : std::min<size_t>(size, block_bytes_ - position % block_bytes_);
    const size_t block = block_bytes_ == 0 ? 0 : position / block_bytes_ - range.first_block;
    sums_[range.sum + block].fetch_add(digest(data, part, position), std::memory_order_relaxed);
    data += part;
    position += part;
    size -= part;
  }
}

}  // namespace ce
