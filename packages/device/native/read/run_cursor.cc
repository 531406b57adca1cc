#include "read/run_cursor.h"

#include <algorithm>
#include <cstring>

namespace ce {

RunCursor::RunCursor(uint8_t* memory, const ReadPlan& plan, const ReadRun& run)
    : offset_(plan.ranges[run.begin].file_offset),
      end_(plan.ranges[run.end - 1].file_offset + plan.ranges[run.end - 1].size) {
  for (size_t i = run.begin; i < run.end; i++) {
    *last_++ = {memory + plan.ranges[i].memory_offset, plan.ranges[i].size};
  }
}

void RunCursor::Advance(size_t bytes) {
  offset_ += bytes;
  while (first_ != last_ && bytes >= first_->iov_len) bytes -= first_++->iov_len;
  if (first_ == last_) return;
  first_->iov_base = static_cast<uint8_t*>(first_->iov_base) + bytes;
  first_->iov_len -= bytes;
}

void RunCursor::Put(const uint8_t* bytes, size_t size) {
  while (size > 0) {
    const size_t part = std::min(size, first_->iov_len);
    std::memcpy(first_->iov_base, bytes, part);
    Advance(part);
    bytes += part;
    size -= part;
  }
}

}  // namespace ce
