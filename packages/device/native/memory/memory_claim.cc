#include "memory/memory_claim.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <thread>

#include "ce/failure.h"
#include "memory/available_memory.h"
#include "memory/exit_unlink.h"

namespace ce {
namespace {

constexpr char kPrefix[] = "checkpoint-engine-claim-";
constexpr int kTries = 20;
// A claim need not be exact, because updating it costs a system call.
constexpr uint64_t kStepBytes = uint64_t{16} << 20;
// Gaps between tensors are never filled, so a claim ends a little before its memory is full.
constexpr uint64_t kGapsShare = 16;
// A claim that does not shrink for this time belongs to memory that is filled elsewhere, and that the system counts.
constexpr int64_t kForgottenSeconds = 60;

// The contents of a claim's file.
struct Record {
  uint64_t bytes;
  // By the monotonic clock, because the time of the file follows the wall clock, which can be set.
  int64_t written_at_seconds;
};

int64_t MonotonicSeconds() {
  struct timespec now;
  return ::clock_gettime(CLOCK_MONOTONIC, &now) == 0 ? int64_t{now.tv_sec} : 0;
}

uint64_t Random() {
  uint64_t number = 0;
  return ::getrandom(&number, sizeof number, 0) == sizeof number ? number : static_cast<uint64_t>(::getpid());
}

void Write(int fd, uint64_t bytes) {
  const Record record{bytes, MonotonicSeconds()};
  static_cast<void>(::pwrite(fd, &record, sizeof record, 0) < 0);
}

// Returns the claim in a file. If its process is gone, removes the file and returns 0.
uint64_t ReadClaim(int directory, const char* name) {
  const UniqueFd fd(::openat(directory, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  struct stat info;
  if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_uid != ::geteuid()) return 0;
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) {
    ::unlinkat(directory, name, 0);
    return 0;
  }
  Record record{};
  if (::pread(fd.get(), &record, sizeof record, 0) != sizeof record) return 0;
  const bool forgotten = record.written_at_seconds + kForgottenSeconds < MonotonicSeconds();
  return forgotten ? 0 : record.bytes;
}

// Sums the claims of all processes of this user, except for the file with this name.
uint64_t ClaimedByOthers(const std::string& own) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(MemoryClaim::kDirectory), ::closedir);
  if (!entries) return 0;
  const std::string prefix = kPrefix + std::to_string(::geteuid()) + "-";
  uint64_t sum = 0;
  while (const dirent* entry = ::readdir(entries.get())) {
    const std::string name = entry->d_name;
    if (name.compare(0, prefix.size(), prefix) == 0 && name != own)
      sum += ReadClaim(::dirfd(entries.get()), entry->d_name);
  }
  return sum;
}

// Creates a file that gets its name only after it is locked. Empty if the directory does not support such files.
UniqueFd Announce(const std::string& path, uint64_t size) {
  UniqueFd fd(::open(MemoryClaim::kDirectory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd || ::flock(fd.get(), LOCK_SH | LOCK_NB) != 0) return UniqueFd();
  Write(fd.get(), size);
  const std::string self = "/proc/self/fd/" + std::to_string(fd.get());
  ExitUnlink::Get().Add(path);
  if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0) return fd;
  ExitUnlink::Get().UnlinkNow(path);
  return UniqueFd();
}

}  // namespace

void MemoryClaim::Sweep() { ClaimedByOthers({}); }

std::unique_ptr<MemoryClaim> MemoryClaim::Take(uint64_t size) {
  uint64_t others = 0;
  if (size < kStepBytes) {
    CheckAvailableMemory(size);
    return nullptr;
  }
  for (int attempt = 0; attempt < kTries; attempt++) {
    CheckAvailableMemory(size);
    char name[96];
    std::snprintf(name, sizeof name, "%s%u-%d-%016llx", kPrefix, ::geteuid(), ::getpid(),
                  static_cast<unsigned long long>(Random()));
    const std::string path = std::string(kDirectory) + "/" + name;
    UniqueFd fd = Announce(path, size);
    if (!fd) return nullptr;
    std::unique_ptr<MemoryClaim> claim(new MemoryClaim(std::move(fd), path, size));
    // Read this before the available memory, so that memory that others fill in between counts twice instead of never.
    others = ClaimedByOthers(name);
    if (size + others <= AvailableMemoryBytes()) return claim;
    // Two processes that claim at the same moment see each other's claim. A random delay decides which one is first.
    claim.reset();
    std::this_thread::sleep_for(std::chrono::milliseconds(5 + Random() % 50));
  }
  throw Failure("CE_HOST_OUT_OF_MEMORY",
                "Host memory of " + std::to_string(size) + " bytes was requested, but " +
                    std::to_string(AvailableMemoryBytes()) +
                    " bytes are available, and other processes are about to use " + std::to_string(others) + " of them",
                "Free host memory, raise the container's limit, or spread the checkpoint over more hosts");
}

MemoryClaim::~MemoryClaim() { ExitUnlink::Get().UnlinkNow(path_); }

void MemoryClaim::Filled(uint64_t bytes) noexcept {
  uint64_t left = left_;
  while (!left_.compare_exchange_weak(left, left - std::min(left, bytes))) {
  }
  if (left == 0) return;
  const uint64_t now = left - std::min(left, bytes);
  if (now <= size_ / kGapsShare) {
    if (left > size_ / kGapsShare) ExitUnlink::Get().UnlinkNow(path_);
    return;
  }
  const uint64_t unsaid = unsaid_ += bytes;
  if (unsaid < kStepBytes) return;
  unsaid_ = 0;
  Write(fd_.get(), now);
}

}  // namespace ce
