#include "memory/backing_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "memory/file_failure.h"

namespace ce {
namespace {

int64_t Nanoseconds(const timespec& time) { return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

}  // namespace

FileState BackingFile::State() const {
  struct stat info;
  if (::fstat(fd_.get(), &info) != 0) throw FileFailure(path_, "fstat", errno);
  return {info.st_dev,
          info.st_ino,
          static_cast<uint64_t>(info.st_size),
          Nanoseconds(info.st_mtim),
          Nanoseconds(info.st_ctim),
          info.st_nlink};
}

void BackingFile::CheckSize() const {
  const uint64_t size = State().size;
  if (size < size_) FailShortened(size);
}

void BackingFile::Read(uint64_t offset, uint8_t* to, size_t size) const {
  for (size_t done = 0; done < size;) {
    const ssize_t count = ::pread(fd_.get(), to + done, size - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw FileFailure(path_, "pread", errno, " at byte " + std::to_string(offset + done));
    if (count == 0) FailShortened(std::min<uint64_t>(offset + done, State().size));
    done += static_cast<size_t>(count);
  }
}

void BackingFile::FailShortened(uint64_t end) const {
  throw Failure("CE_FILE_CHANGED",
                path_ + " was truncated after it was registered: it had " + std::to_string(size_) + " bytes and has " +
                    std::to_string(end),
                "Write new weights into new files, and do not change registered files")
      .File(path_);
}

}  // namespace ce
