#include "digest/dot_words.h"

#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ce {
namespace {

constexpr size_t kWordBytes = 4;
constexpr size_t kBlockBytes = kDigestBlockWords * kWordBytes;

// Not inline: inside other loops, GCC does not vectorize it.
__attribute__((noinline)) uint64_t DotPlain(const uint8_t* data, const uint32_t* keys, size_t count) {
  uint64_t sum = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t word;
    std::memcpy(&word, data + i * kWordBytes, kWordBytes);
    sum += static_cast<uint64_t>(word) * keys[i];
  }
  return sum;
}

// Each loop sets one sum for each of `kBlocks` blocks, of which it takes the first `count` words.
template <size_t kBlocks>
void BlocksPlain(const uint8_t* data, const uint32_t* keys, size_t count, uint64_t* sums) {
  for (size_t block = 0; block < kBlocks; block++) sums[block] = DotPlain(data + block * kBlockBytes, keys, count);
}

#if defined(__x86_64__)

// The loops with vectors multiply the even and the odd words of a vector separately, since a product takes 64 bits.
template <size_t kBlocks>
__attribute__((target("avx2"))) void BlocksAvx2(const uint8_t* data, const uint32_t* keys, size_t count,
                                                uint64_t* sums) {
  constexpr size_t kWords = 8;
  __m256i even[kBlocks];
  __m256i odd[kBlocks];
  for (size_t block = 0; block < kBlocks; block++) even[block] = odd[block] = _mm256_setzero_si256();
  size_t i = 0;
  for (; i + kWords <= count; i += kWords) {
    const __m256i key = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(keys + i));
    const __m256i high_key = _mm256_srli_epi64(key, 32);
#pragma GCC unroll 4
    for (size_t block = 0; block < kBlocks; block++) {
      const uint8_t* const at = data + block * kBlockBytes + i * kWordBytes;
      const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
      even[block] = _mm256_add_epi64(even[block], _mm256_mul_epu32(words, key));
      odd[block] = _mm256_add_epi64(odd[block], _mm256_mul_epu32(_mm256_srli_epi64(words, 32), high_key));
    }
  }
  for (size_t block = 0; block < kBlocks; block++) {
    alignas(32) uint64_t lanes[4];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), _mm256_add_epi64(even[block], odd[block]));
    sums[block] = DotPlain(data + block * kBlockBytes + i * kWordBytes, keys + i, count - i);
    for (const uint64_t lane : lanes) sums[block] += lane;
  }
}

template <size_t kBlocks>
__attribute__((target("avx512f"))) void BlocksAvx512(const uint8_t* data, const uint32_t* keys, size_t count,
                                                     uint64_t* sums) {
  constexpr size_t kWords = 16;
  // Without a mask the headers of GCC 12 read an uninitialized vector, which -Werror rejects.
  constexpr __mmask8 kAll = 0xff;
  __m512i even[kBlocks];
  __m512i odd[kBlocks];
  for (size_t block = 0; block < kBlocks; block++) even[block] = odd[block] = _mm512_setzero_si512();
  size_t i = 0;
  for (; i + kWords <= count; i += kWords) {
    const __m512i key = _mm512_loadu_si512(keys + i);
    const __m512i high_key = _mm512_maskz_srli_epi64(kAll, key, 32);
#pragma GCC unroll 4
    for (size_t block = 0; block < kBlocks; block++) {
      const __m512i words = _mm512_loadu_si512(data + block * kBlockBytes + i * kWordBytes);
      const __m512i high_words = _mm512_maskz_srli_epi64(kAll, words, 32);
      even[block] = _mm512_add_epi64(even[block], _mm512_maskz_mul_epu32(kAll, words, key));
      odd[block] = _mm512_add_epi64(odd[block], _mm512_maskz_mul_epu32(kAll, high_words, high_key));
    }
  }
  for (size_t block = 0; block < kBlocks; block++) {
    alignas(64) uint64_t lanes[8];
    _mm512_store_si512(lanes, _mm512_add_epi64(even[block], odd[block]));
    sums[block] = DotPlain(data + block * kBlockBytes + i * kWordBytes, keys + i, count - i);
    for (const uint64_t lane : lanes) sums[block] += lane;
  }
}

#endif

using Loop = void (*)(const uint8_t*, const uint32_t*, size_t, uint64_t*);

template <size_t kBlocks>
Loop ChooseLoop() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return BlocksAvx512<kBlocks>;
  if (__builtin_cpu_supports("avx2")) return BlocksAvx2<kBlocks>;
#endif
  return BlocksPlain<kBlocks>;
}

}  // namespace

uint64_t DotWords(const uint8_t* data, const uint32_t* keys, size_t count) noexcept {
  static const Loop loop = ChooseLoop<1>();
  uint64_t sum;
  loop(data, keys, count, &sum);
  return sum;
}

void DotBlocks(const uint8_t* data, const uint32_t* keys, uint64_t* sums) noexcept {
  static const Loop loop = ChooseLoop<kDotBlocks>();
  loop(data, keys, kDigestBlockWords, sums);
}

}  // namespace ce
