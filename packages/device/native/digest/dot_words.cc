#include "digest/dot_words.h"

#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ce {
namespace {

uint64_t DotPlain(const uint8_t* data, const uint32_t* keys, size_t count) {
  uint64_t sum = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t word;
    std::memcpy(&word, data + i * sizeof(word), sizeof(word));
    sum += static_cast<uint64_t>(word) * keys[i];
  }
  return sum;
}

#if defined(__x86_64__)

// Both loops multiply the even and the odd words of a vector separately, since a product takes 64 bits.
__attribute__((target("avx2"))) uint64_t DotAvx2(const uint8_t* data, const uint32_t* keys, size_t count) {
  constexpr size_t kWords = 8;
  __m256i even = _mm256_setzero_si256();
  __m256i odd = _mm256_setzero_si256();
  size_t i = 0;
  for (; i + kWords <= count; i += kWords) {
    const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data + i * 4));
    const __m256i key = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(keys + i));
    even = _mm256_add_epi64(even, _mm256_mul_epu32(words, key));
    odd = _mm256_add_epi64(odd, _mm256_mul_epu32(_mm256_srli_epi64(words, 32), _mm256_srli_epi64(key, 32)));
  }
  alignas(32) uint64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), _mm256_add_epi64(even, odd));
  return lanes[0] + lanes[1] + lanes[2] + lanes[3] + DotPlain(data + i * 4, keys + i, count - i);
}

__attribute__((target("avx512f"))) uint64_t DotAvx512(const uint8_t* data, const uint32_t* keys, size_t count) {
  constexpr size_t kWords = 16;
  constexpr __mmask8 kAll = 0xff;
  __m512i even = _mm512_setzero_si512();
  __m512i odd = _mm512_setzero_si512();
  size_t i = 0;
  for (; i + kWords <= count; i += kWords) {
    const __m512i words = _mm512_loadu_si512(data + i * 4);
    const __m512i key = _mm512_loadu_si512(keys + i);
    // Without a mask the headers of GCC 12 read an uninitialized vector, which -Werror rejects.
    const __m512i high_words = _mm512_maskz_srli_epi64(kAll, words, 32);
    const __m512i high_key = _mm512_maskz_srli_epi64(kAll, key, 32);
    even = _mm512_add_epi64(even, _mm512_maskz_mul_epu32(kAll, words, key));
    odd = _mm512_add_epi64(odd, _mm512_maskz_mul_epu32(kAll, high_words, high_key));
  }
  alignas(64) uint64_t lanes[8];
  _mm512_store_si512(lanes, _mm512_add_epi64(even, odd));
  uint64_t sum = DotPlain(data + i * 4, keys + i, count - i);
  for (const uint64_t lane : lanes) sum += lane;
  return sum;
}

using Dot = uint64_t (*)(const uint8_t*, const uint32_t*, size_t);

Dot ChooseDot() {
  if (__builtin_cpu_supports("avx512f")) return DotAvx512;
  if (__builtin_cpu_supports("avx2")) return DotAvx2;
  return DotPlain;
}

#endif

}  // namespace

uint64_t DotWords(const uint8_t* data, const uint32_t* keys, size_t count) noexcept {
#if defined(__x86_64__)
  static const Dot dot = ChooseDot();
  return dot(data, keys, count);
#else
  return DotPlain(data, keys, count);
#endif
}

}  // namespace ce
