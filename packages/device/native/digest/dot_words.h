// The inner loop of the digest.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ce {

// Words that share one block key.
constexpr size_t kDigestBlockWords = 1024;

// Sum modulo 2^64 of the products of `count` little-endian words at `data`, which need no alignment, and their keys.
// `keys` points into the table of word keys. Uses the widest vectors that the processor has.
uint64_t DotWords(const uint8_t* data, const uint32_t* keys, size_t count) noexcept;

}  // namespace ce
