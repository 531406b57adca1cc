#include "read/read_job.h"

#include <limits.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <utility>

#include "memory/file_failure.h"

namespace ce {
namespace {

Failure Truncated(const std::string& path, int fd, uint64_t offset, uint64_t wanted) {
  struct stat info;
  const std::string size = ::fstat(fd, &info) == 0 ? std::to_string(info.st_size) + " bytes" : "fewer bytes";
  return Failure("CE_FILE_TRUNCATED",
                 path + " ends at byte " + std::to_string(offset) + ": it has " + size + ", " +
                     std::to_string(wanted) + " are needed",
                 "Copy or download the file again and wait until it is complete")
      .File(path);
}

// Drops the first `bytes` of the vectors.
void Advance(iovec*& first, iovec* last, size_t bytes) {
  while (first != last && bytes >= first->iov_len) bytes -= first++->iov_len;
  if (first == last) return;
  first->iov_base = static_cast<uint8_t*>(first->iov_base) + bytes;
  first->iov_len -= bytes;
}

}  // namespace

ReadJob::ReadJob(MemoryPtr memory, const std::vector<std::string>& paths, ReadPlan plan,
                 std::shared_ptr<Listener> listener)
    : memory_(std::move(memory)), plan_(std::move(plan)), listener_(std::move(listener)), files_(paths, plan_) {}

void ReadJob::Fail(Failure failure) noexcept {
  std::lock_guard lock(mutex_);
  if (!failure_) failure_ = std::move(failure);
  failed_ = true;
}

void ReadJob::Run(size_t index) noexcept {
  if (index >= plan_.pieces.size()) return;  // Nothing to read at all.
  const ReadPiece& piece = plan_.pieces[index];
  for (size_t i = piece.begin; i < piece.end; i++) {
    const ReadRun& run = plan_.runs[i];
    if (!failed_) {
      try {
        ReadOneRun(run);
        for (size_t r = run.begin; r < run.end; r++) {
          const ReadRange& range = plan_.ranges[r];
          listener_->Filled(range.memory_offset, range.memory_offset + range.size);
        }
      } catch (const Failure& failure) {
        Fail(failure);
      }
    }
    files_.Release(plan_.ranges[run.begin].file);
  }
}

void ReadJob::ReadOneRun(const ReadRun& run) {
  const size_t file = plan_.ranges[run.begin].file;
  const int fd = files_.Acquire(file);
  iovec vectors[IOV_MAX];
  iovec* next = vectors;
  for (size_t i = run.begin; i < run.end; i++) {
    *next++ = {memory_->host_data() + plan_.ranges[i].memory_offset, plan_.ranges[i].size};
  }
  const uint64_t end = plan_.ranges[run.end - 1].file_offset + plan_.ranges[run.end - 1].size;
  uint64_t offset = plan_.ranges[run.begin].file_offset;
  iovec* first = vectors;
  while (first != next) {
    const ssize_t count = ::preadv(fd, first, static_cast<int>(next - first), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw FileFailure(files_.path(file), "preadv", errno, " at byte " + std::to_string(offset));
    if (count == 0) throw Truncated(files_.path(file), fd, offset, end);
    offset += static_cast<uint64_t>(count);
    done_bytes_ += static_cast<uint64_t>(count);
    Advance(first, next, static_cast<size_t>(count));
  }
}

void ReadJob::Done() noexcept {
  memory_.reset();
  listener_->Finished(std::move(failure_));
}

}  // namespace ce
