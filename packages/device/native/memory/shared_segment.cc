#include "memory/shared_segment.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "ce/failure.h"
#include "ce/mapping.h"
#include "ce/reaper.h"
#include "ce/unique_fd.h"
#include "memory/available_memory.h"
#include "memory/exit_unlink.h"
#include "memory/memory_claim.h"
#include "memory/segment_name.h"

namespace ce {
namespace {

class SharedSegment final : public Memory {
 public:
  SharedSegment(Mapping mapping, size_t size, UniqueFd lock, std::string path, std::string name)
      : Memory(MemoryKind::kHost, reinterpret_cast<uint64_t>(mapping.data()), size),
        mapping_(std::move(mapping)),
        lock_(std::move(lock)),
        path_(std::move(path)),
        name_(std::move(name)) {}
  ~SharedSegment() override {
    Retire();
    if (discarded_) ::madvise(mapping_.data(), mapping_.size(), MADV_REMOVE);
  }

  std::string handle() const override { return name_; }
  void Retire() noexcept override { ExitUnlink::Get().UnlinkNow(path_); }
  void Discard() noexcept override { discarded_ = true; }

 private:
  std::atomic<bool> discarded_{false};
  const Mapping mapping_;
  const UniqueFd lock_;  // The creator holds it for its lifetime: see SweepSegments.
  const std::string path_;
  const std::string name_;
};

class OpenedSegment final : public Memory {
 public:
  OpenedSegment(Mapping mapping, size_t size, std::string name)
      : Memory(MemoryKind::kHost, reinterpret_cast<uint64_t>(mapping.data()), size),
        mapping_(std::move(mapping)),
        name_(std::move(name)) {}

  std::string handle() const override { return name_; }

 private:
  const Mapping mapping_;
  const std::string name_;
};

Failure TooSmall(const std::string& directory, size_t wanted, uint64_t available) {
  return Failure("CE_SHM_TOO_SMALL",
                 "Shared memory of " + std::to_string(wanted) + " bytes was requested, but " +
                     std::to_string(available) + " bytes are free in " + directory,
                 "Enlarge it (docker run --shm-size, or --ipc=host; mount -o remount,size=) or use smaller buckets");
}

uint64_t FreeBytes(const std::string& directory) {
  struct statvfs info;
  if (::statvfs(directory.c_str(), &info) != 0) {
    throw SystemFailure("CE_SHM_FAILED", "Cannot use " + directory + " for shared memory",
                        "Mount a tmpfs there or use another directory", "statvfs");
  }
  return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
}

// Reserves the space now: a write to a hole of a full tmpfs would kill the process.
void Reserve(const std::string& directory, const UniqueFd& fd, size_t size) {
  constexpr size_t kStepBytes = size_t{64} << 20;
  const std::unique_ptr<MemoryClaim> claim = MemoryClaim::Take(size);
  int result = 0;
  for (size_t done = 0; result == 0 && done < size;) {
    const size_t step = std::min(kStepBytes, size - done);
    do {
      result = ::fallocate(fd.get(), 0, static_cast<off_t>(done), static_cast<off_t>(step));
    } while (result != 0 && errno == EINTR);
    if (result != 0) break;
    done += step;
    if (claim) claim->Filled(step);
  }
  if (result == 0) return;
  if (errno == ENOSPC) {
    const int error = errno;
    ::ftruncate(fd.get(), 0);
    throw TooSmall(directory, size, FreeBytes(directory)).From("fallocate", error);
  }
  if (errno == ENOMEM) CheckAvailableMemory(size);
  throw SystemFailure("CE_SHM_FAILED", "Cannot reserve " + std::to_string(size) + " bytes in " + directory,
                      "Use a directory on tmpfs such as /dev/shm", "fallocate");
}

// Larger memory is mapped page by page on use, because a pool may never be used completely.
constexpr size_t kMaxMappedAtOnce = size_t{256} << 20;

enum class Populate { kWrite, kRead };

Mapping MapShared(const UniqueFd& fd, size_t size, const std::string& path, Populate how) {
  Mapping mapping = Mapping::Map(size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get());
  if (mapping) {
#if defined(MADV_POPULATE_WRITE) && defined(MADV_POPULATE_READ)
    // A ring is reused many times: populating all its pages together costs a fraction of single faults. The kernel maps
    // existing pages in batches for reading, and they are then writable as well. Older kernels refuse.
    const int advice = how == Populate::kWrite ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
    if (size <= kMaxMappedAtOnce) ::madvise(mapping.data(), size, advice);
#else
    static_cast<void>(how);
#endif
    return mapping;
  }
  throw SystemFailure("CE_SHM_FAILED", "Cannot map " + path, "Free address space (ulimit -v) or map less", "mmap");
}

}  // namespace

MemoryPtr CreateSegment(const std::string& directory, size_t size) {
  // Free recently closed memory first: it and the new memory may not fit at the same time.
  Reaper::Get().Wait();
  const uint64_t available = FreeBytes(directory);
  if (size > available) throw TooSmall(directory, size, available);

  const std::string name = SegmentName::Make().text;
  const std::string path = directory + "/" + name;
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) {
    throw SystemFailure("CE_SHM_FAILED", "Cannot create " + path, "Make the directory writable for this user", "open");
  }
  ExitUnlink::Get().Add(path);
  try {
    ::flock(fd.get(), LOCK_SH | LOCK_NB);
    Reserve(directory, fd, size);
    Mapping mapping = MapShared(fd, size, path, Populate::kWrite);
    return Reaper::Own<Memory>(std::make_unique<SharedSegment>(std::move(mapping), size, std::move(fd), path, name));
  } catch (...) {
    ExitUnlink::Get().UnlinkNow(path);
    throw;
  }
}

MemoryPtr OpenSegment(const std::string& directory, const std::string& handle, size_t size) {
  const auto refuse = [&](const std::string& why) {
    return Failure("CE_SHM_FAILED", "Shared memory \"" + handle + "\" in " + directory + " was refused: " + why,
                   "Pass the handle and size of a segment that a process of this user and host shares");
  };
  if (!SegmentName::Parse(handle)) throw refuse("it is not the name of a segment");
  const std::string path = directory + "/" + handle;
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!fd) {
    throw SystemFailure("CE_SHM_FAILED", "Cannot open shared memory " + path,
                        "Check that its creator still runs and shares this directory (--ipc=host for containers)",
                        "open");
  }
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) throw refuse(std::strerror(errno));
  if (!S_ISREG(info.st_mode)) throw refuse("it is not a regular file");
  if (info.st_uid != ::geteuid()) throw refuse("it belongs to user " + std::to_string(info.st_uid));
  if ((info.st_mode & 07777) != 0600) throw refuse("its mode is not 0600");
  if (static_cast<uint64_t>(info.st_size) < size) {
    throw refuse("it has " + std::to_string(info.st_size) + " bytes, not " + std::to_string(size));
  }
  return Reaper::Own<Memory>(std::make_unique<OpenedSegment>(MapShared(fd, size, path, Populate::kRead), size, handle));
}

}  // namespace ce
