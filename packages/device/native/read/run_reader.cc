#include "read/run_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <memory>

#include "memory/file_failure.h"
#include "read/cold_reads.h"

namespace ce {
namespace {

// Smaller reads do not show a disk's rate, and are not worth another system call.
constexpr uint64_t kMinColdBytes = uint64_t{256} << 10;
// Alignment of memory, file offsets and sizes for reads that bypass the page cache.
constexpr uint64_t kBlockBytes = 4096;
constexpr uint64_t kBounceBytes = uint64_t{2} << 20;
// The kernel limits one readahead request to about this size.
constexpr uint64_t kAheadBytes = uint64_t{1} << 20;

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

// One buffer per thread, because the destinations are aligned differently from the file. Null if out of memory.
uint8_t* Bounce() {
  thread_local std::unique_ptr<void, Free> buffer;
  if (!buffer) buffer.reset(std::aligned_alloc(kBlockBytes, kBounceBytes));
  return static_cast<uint8_t*>(buffer.get());
}

// Whether all of a range is in the page cache, or unknown. Unlike a non-blocking read, the query does not make
// the system read ahead.
bool IsCached(int fd, uint64_t offset, uint64_t size) {
  constexpr long kCachestat = 451;  // Since Linux 6.5.
  struct {
    uint64_t offset, size;
  } range{offset, size};
  struct {
    uint64_t cached, dirty, writeback, evicted, recently_evicted;
  } state{};
  if (::syscall(kCachestat, fd, &range, &state, 0) != 0) return true;
  const uint64_t first = offset / kBlockBytes;
  const uint64_t last = (offset + size - 1) / kBlockBytes;
  // A read that bypasses the cache would wait until dirty pages are written.
  return state.cached > last - first || state.dirty > 0 || state.writeback > 0;
}

}  // namespace

void RunReader::Read(RunCursor& run) {
  const int fd = files_.Acquire(file_);
  const uint64_t bytes = run.end() - run.offset();
  if (bytes >= kMinColdBytes && !IsCached(fd, run.offset(), bytes)) return ReadCold(fd, run);
  ReadThroughCache(fd, run);
}

void RunReader::ReadCold(int fd, RunCursor& run) {
  const uint64_t bytes = run.end() - run.offset();
  ColdReads& cold = ColdReads::On(files_.file_system(file_));
  ColdReads::Way way = cold.Choose();
  const auto start = std::chrono::steady_clock::now();
  if (way == ColdReads::Way::kDirect && !ReadDirect(run)) {
    cold.RefuseDirect();
    way = ColdReads::Way::kReadahead;
  }
  if (way == ColdReads::Way::kReadahead) {
    for (uint64_t at = run.offset(); at < run.end(); at += kAheadBytes) {
      const uint64_t size = std::min(kAheadBytes, run.end() - at);
      ::posix_fadvise(fd, static_cast<off_t>(at), static_cast<off_t>(size), POSIX_FADV_WILLNEED);
    }
    ReadThroughCache(fd, run);
  }
  cold.Measured(way, bytes, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

void RunReader::ReadThroughCache(int fd, RunCursor& run) {
  while (!run.done()) {
    const auto [vectors, vector_count] = run.next();
    const ssize_t count = ::preadv(fd, vectors, vector_count, static_cast<off_t>(run.offset()));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) FailAt(run, errno);
    if (count == 0) FailTruncated(run);
    run.Advance(static_cast<size_t>(count));
    Count(static_cast<size_t>(count));
  }
}

bool RunReader::ReadDirect(RunCursor& run) {
  const int fd = files_.AcquireDirect(file_);
  uint8_t* const bounce = fd < 0 ? nullptr : Bounce();
  if (bounce == nullptr) return false;
  for (bool is_first = true; !run.done(); is_first = false) {
    const uint64_t from = run.offset() / kBlockBytes * kBlockBytes;
    const uint64_t to = (run.end() + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
    const uint64_t before = run.offset() - from;
    const iovec whole{bounce, std::min(kBounceBytes, to - from)};
    const ssize_t count = ::preadv(fd, &whole, 1, static_cast<off_t>(from));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EINVAL && is_first) return false;
    if (count < 0) FailAt(run, errno);
    if (static_cast<uint64_t>(count) <= before) FailTruncated(run);
    const uint64_t bytes = std::min(static_cast<uint64_t>(count) - before, run.end() - run.offset());
    run.Put(bounce + before, bytes);
    Count(bytes);
  }
  return true;
}

void RunReader::FailAt(const RunCursor& run, int error) const {
  throw FileFailure(files_.path(file_), "preadv", error, " at byte " + std::to_string(run.offset()));
}

void RunReader::FailTruncated(const RunCursor& run) const {
  struct stat info;
  const std::string& path = files_.path(file_);
  const std::string size = ::stat(path.c_str(), &info) == 0 ? std::to_string(info.st_size) + " bytes" : "fewer bytes";
  throw Failure("CE_FILE_TRUNCATED",
                path + " ends at byte " + std::to_string(run.offset()) + ": it has " + size + ", " +
                    std::to_string(run.end()) + " are needed",
                "Copy or download the file again and wait until it is complete")
      .File(path);
}

}  // namespace ce
