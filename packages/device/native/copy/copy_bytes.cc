#include "copy/copy_bytes.h"

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace ce {

void CopyThroughCache(void* to, const void* from, size_t size) { std::memcpy(to, from, size); }

#if defined(__SSE2__)

void CopyPastCache(void* to, const void* from, size_t size) {
  constexpr size_t kLine = 64;
  auto* target = static_cast<uint8_t*>(to);
  auto* source = static_cast<const uint8_t*>(from);
  const size_t head = (kLine - reinterpret_cast<uintptr_t>(target) % kLine) % kLine;
  if (size < head + kLine) return CopyThroughCache(to, from, size);
  std::memcpy(target, source, head);
  target += head;
  source += head;
  size -= head;
  for (; size >= kLine; size -= kLine, target += kLine, source += kLine) {
    auto* out = reinterpret_cast<__m128i*>(target);
    const auto* in = reinterpret_cast<const __m128i*>(source);
    const __m128i a = _mm_loadu_si128(in);
    const __m128i b = _mm_loadu_si128(in + 1);
    const __m128i c = _mm_loadu_si128(in + 2);
    const __m128i d = _mm_loadu_si128(in + 3);
    _mm_stream_si128(out, a);
    _mm_stream_si128(out + 1, b);
    _mm_stream_si128(out + 2, c);
    _mm_stream_si128(out + 3, d);
  }
  std::memcpy(target, source, size);
  _mm_sfence();  // A thread that learns that the copy is done must see the bytes.
}

#else

void CopyPastCache(void* to, const void* from, size_t size) { CopyThroughCache(to, from, size); }

#endif

}  // namespace ce
