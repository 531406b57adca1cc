#include "digest/digest.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "digest/dot_words.h"

namespace ce {
namespace {

constexpr uint64_t kWordBytes = 4;
constexpr uint64_t kBlockBytes = kDigestBlockWords * kWordBytes;

uint32_t Mix32(uint32_t value) {
  value ^= value >> 16;
  value *= 0x85ebca6b;
  value ^= value >> 13;
  value *= 0xc2b2ae35;
  return value ^ value >> 16;
}

uint64_t Mix64(uint64_t value) {
  value ^= value >> 33;
  value *= 0xff51afd7ed558ccd;
  value ^= value >> 33;
  value *= 0xc4ceb9fe1a85ec53;
  return value ^ value >> 33;
}

using WordKeys = std::array<uint32_t, kDigestBlockWords>;

const WordKeys& Keys() {
  static const WordKeys keys = [] {
    WordKeys made;
    for (uint32_t i = 0; i < kDigestBlockWords; i++) made[i] = Mix32(i + 0x9e3779b9) | 1;
    return made;
  }();
  return keys;
}

uint64_t BlockKey(uint64_t block) { return Mix64(block + 0x9e3779b97f4a7c15) | 1; }

// At most one word, whose other bytes count as zeros.
uint64_t DigestPartOfWord(const uint8_t* data, size_t size, uint64_t position) {
  uint64_t word = 0;
  for (size_t i = 0; i < size; i++) word |= uint64_t{data[i]} << 8 * (position % kWordBytes + i);
  return word * Keys()[position % kBlockBytes / kWordBytes];
}

// Bytes of one block, without its key.
uint64_t DigestPartOfBlock(const uint8_t* data, size_t size, uint64_t position) {
  const size_t head = std::min<size_t>(size, (kWordBytes - position % kWordBytes) % kWordBytes);
  uint64_t sum = head > 0 ? DigestPartOfWord(data, head, position) : 0;
  const size_t words = (size - head) / kWordBytes;
  const size_t done = head + words * kWordBytes;
  if (words > 0) sum += DotWords(data + head, Keys().data() + (position + head) % kBlockBytes / kWordBytes, words);
  if (done < size) sum += DigestPartOfWord(data + done, size - done, position + done);
  return sum;
}

}  // namespace

uint64_t DigestBytes(const uint8_t* data, size_t size, uint64_t position) noexcept {
  uint64_t sum = 0;
  while (size > 0) {
    const size_t part = std::min<size_t>(size, kBlockBytes - position % kBlockBytes);
    sum += BlockKey(position / kBlockBytes) * DigestPartOfBlock(data, part, position);
    data += part;
    position += part;
    size -= part;
  }
  return sum;
}

uint64_t DigestCachedBytes(const uint8_t* data, size_t size, uint64_t position) noexcept {
  constexpr size_t kGroupBytes = kDotBlocks * kBlockBytes;
  const size_t head = std::min<size_t>(size, (kBlockBytes - position % kBlockBytes) % kBlockBytes);
  uint64_t sum = DigestBytes(data, head, position);
  size_t done = head;
  for (; done + kGroupBytes <= size; done += kGroupBytes) {
    uint64_t sums[kDotBlocks];
    DotBlocks(data + done, Keys().data(), sums);
    const uint64_t first = (position + done) / kBlockBytes;
    for (size_t block = 0; block < kDotBlocks; block++) sum += BlockKey(first + block) * sums[block];
  }
  return sum + DigestBytes(data + done, size - done, position + done);
}

}  // namespace ce
