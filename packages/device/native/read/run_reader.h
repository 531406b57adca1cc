// Reads one run: cached data from the page cache, the rest with the method that is faster on the file system.
#pragma once

#include <atomic>
#include <cstdint>

#include "read/open_files.h"
#include "read/run_cursor.h"

namespace ce {

class RunReader {
 public:
  // Adds the bytes that it has read to `done_bytes`.
  RunReader(OpenFiles& files, size_t file, std::atomic<uint64_t>& done_bytes)
      : files_(files), file_(file), done_bytes_(done_bytes) {}

  // Throws CE_FILE_*.
  void Read(RunCursor& run);

 private:
  void ReadCold(int fd, RunCursor& run);
  void ReadThroughCache(int fd, RunCursor& run);
  // Returns false, with nothing read, if the file system does not support it.
  bool ReadDirect(RunCursor& run);
  void Count(size_t bytes) { done_bytes_ += bytes; }
  [[noreturn]] void FailAt(const RunCursor& run, int error) const;
  [[noreturn]] void FailTruncated(const RunCursor& run) const;

  OpenFiles& files_;
  const size_t file_;
  std::atomic<uint64_t>& done_bytes_;
};

}  // namespace ce
