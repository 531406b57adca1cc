// The digest of tensor bytes, version 1: docs/digests.md defines it and has test vectors.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ce {

// Digest of `size` bytes that begin `position` bytes into their tensor. The digest of a tensor is the sum modulo 2^64 of
// the digests of its parts, in any order.
uint64_t DigestBytes(const uint8_t* data, size_t size, uint64_t position) noexcept;

// The same digest, with the loop that is faster for bytes that are in a cache, and slower for bytes in memory.
uint64_t DigestCachedBytes(const uint8_t* data, size_t size, uint64_t position) noexcept;

}  // namespace ce
