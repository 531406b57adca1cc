#include "read/run_cursor.h"

#include <algorithm>
#include <cstring>

namespace ce {

namespace {

// Small enough that the caches of a core still have the bytes, large enough that another system call costs little.
constexpr size_t kDigestedBytes = size_t{512} << 10;

}  // namespace

RunCursor::RunCursor(uint8_t* memory, const ReadPlan& plan, const ReadRun& run, ReadDigest* digest)
    : memory_(memory),
      digest_(digest),
      offset_(plan.ranges[run.begin].file_offset),
      end_(plan.ranges[run.end - 1].file_offset + plan.ranges[run.end - 1].size) {
  for (size_t i = run.begin; i < run.end; i++) {
    *last_++ = {memory + plan.ranges[i].memory_offset, plan.ranges[i].size};
  }
}

RunCursor::Next RunCursor::next() {
  const Next all{first_, static_cast<int>(last_ - first_)};
  if (digest_ == nullptr) return all;
  if (first_->iov_len > kDigestedBytes) {
    part_ = {first_->iov_base, kDigestedBytes};
    return {&part_, 1};
  }
  size_t bytes = first_->iov_len;
  int count = 1;
  while (count < all.count && bytes + first_[count].iov_len <= kDigestedBytes) bytes += first_[count++].iov_len;
  return {first_, count};
}

void RunCursor::Advance(size_t bytes) {
  offset_ += bytes;
  while (bytes > 0) {
    auto* const data = static_cast<uint8_t*>(first_->iov_base);
    const size_t part = std::min(bytes, first_->iov_len);
    if (digest_ != nullptr) digest_->Filled(data, static_cast<uint64_t>(data - memory_), part);
    first_->iov_base = data + part;
    first_->iov_len -= part;
    bytes -= part;
    if (first_->iov_len == 0) first_++;
  }
}

void RunCursor::Put(const uint8_t* bytes, size_t size) {
  while (size > 0) {
    const size_t part = std::min({size, first_->iov_len, kDigestedBytes});
    std::memcpy(first_->iov_base, bytes, part);
    Advance(part);
    bytes += part;
    size -= part;
  }
}

}  // namespace ce
