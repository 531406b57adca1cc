// The unread part of a run.
#pragma once

#include <limits.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "read/read_plan.h"

namespace ce {

class RunCursor {
 public:
  RunCursor(uint8_t* memory, const ReadPlan& plan, const ReadRun& run);
  RunCursor(const RunCursor&) = delete;
  RunCursor& operator=(const RunCursor&) = delete;

  bool done() const { return first_ == last_; }
  // File offset of the next byte, and of the end.
  uint64_t offset() const { return offset_; }
  uint64_t end() const { return end_; }
  // Destinations of the next bytes.
  const iovec* vectors() const { return first_; }
  int count() const { return static_cast<int>(last_ - first_); }

  // Records that `bytes` were read to their destinations.
  void Advance(size_t bytes);
  // Copies bytes that were read elsewhere to their destinations.
  void Put(const uint8_t* bytes, size_t size);

 private:
  iovec vectors_[IOV_MAX];
  iovec* first_ = vectors_;
  iovec* last_ = vectors_;
  uint64_t offset_;
  uint64_t end_;
};

}  // namespace ce
