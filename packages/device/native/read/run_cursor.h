// The unread part of a run.
#pragma once

#include <limits.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "digest/read_digest.h"
#include "read/read_plan.h"

namespace ce {

class RunCursor {
 public:
  // Adds the bytes that were read to `digest`, which may be null.
  RunCursor(uint8_t* memory, const ReadPlan& plan, const ReadRun& run, ReadDigest* digest);
  RunCursor(const RunCursor&) = delete;
  RunCursor& operator=(const RunCursor&) = delete;

  bool done() const { return first_ == last_; }
  // File offset of the next byte, and of the end.
  uint64_t offset() const { return offset_; }
  uint64_t end() const { return end_; }
  // Destinations of the bytes to read next: all of them, or as many as a digest finds in the cache afterwards.
  struct Next {
    const iovec* vectors;
    int count;
  };
  Next next();

  // Records that `bytes` were read to their destinations.
  void Advance(size_t bytes);
  // Copies bytes that were read elsewhere to their destinations.
  void Put(const uint8_t* bytes, size_t size);

 private:
  uint8_t* const memory_;
  ReadDigest* const digest_;
  iovec vectors_[IOV_MAX];
  iovec* first_ = vectors_;
  iovec* last_ = vectors_;
  iovec part_;
  uint64_t offset_;
  uint64_t end_;
};

}  // namespace ce
