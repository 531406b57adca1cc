#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "ce/failure.h"
#include "ce/unique_fd.h"
#include "memory/memory_claim.h"
#include "memory/segment_name.h"
#include "memory/shared_segment.h"

namespace ce {
namespace {

// A creator in another PID namespace appears to be gone, but still holds its lock.
bool MakerIsGone(const SegmentName& name, int directory) {
  if (name.ProcessRuns()) return false;
  UniqueFd fd(::openat(directory, name.text.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  struct stat info;
  return fd && ::fstat(fd.get(), &info) == 0 && S_ISREG(info.st_mode) && info.st_uid == ::geteuid() &&
         ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0;
}

}  // namespace

std::vector<std::string> SweepSegments(const std::string& directory) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(directory.c_str()), ::closedir);
  if (!entries) {
    throw SystemFailure("CE_SHM_FAILED", "Cannot read " + directory, "Mount a tmpfs there or use another directory",
                        "opendir")
        .File(directory);
  }
  if (directory == MemoryClaim::kDirectory) MemoryClaim::Sweep();
  std::vector<std::string> removed;
  const int folder = ::dirfd(entries.get());
  while (const dirent* entry = ::readdir(entries.get())) {
    const auto name = SegmentName::Parse(entry->d_name);
    if (name && name->user == ::geteuid() && MakerIsGone(*name, folder) && ::unlinkat(folder, entry->d_name, 0) == 0) {
      removed.emplace_back(entry->d_name);
    }
  }
  return removed;
}

}  // namespace ce
