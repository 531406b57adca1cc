#include "read/read_job.h"

#include <utility>

#include "read/run_cursor.h"
#include "read/run_reader.h"

namespace ce {

ReadJob::ReadJob(MemoryPtr memory, const std::vector<std::string>& paths, ReadPlan plan,
                 std::shared_ptr<Listener> listener, std::shared_ptr<ReadDigest> digest)
    : memory_(std::move(memory)),
      plan_(std::move(plan)),
      listener_(std::move(listener)),
      digest_(std::move(digest)),
      files_(paths, plan_) {}

void ReadJob::Fail(Failure failure) noexcept {
  std::lock_guard lock(mutex_);
  if (!failure_) failure_ = std::move(failure);
  failed_ = true;
}

void ReadJob::Run(size_t index) noexcept {
  if (index >= plan_.pieces.size()) return;  // The plan is empty.
  const ReadPiece& piece = plan_.pieces[index];
  for (size_t i = piece.begin; i < piece.end; i++) {
    const ReadRun& run = plan_.runs[i];
    if (!failed_) {
      std::optional<Failure> failure = FailureOf([&] {
        RunCursor cursor(memory_->host_data(), plan_, run, digest_.get());
        RunReader(files_, plan_.ranges[run.begin].file, done_bytes_).Read(cursor);
        for (size_t r = run.begin; r < run.end; r++) {
          const ReadRange& range = plan_.ranges[r];
          memory_->Filled(range.size);
          listener_->Filled(range.memory_offset, range.memory_offset + range.size);
        }
      });
      if (failure) Fail(std::move(*failure));
    }
    files_.Release(plan_.ranges[run.begin].file);
  }
}

void ReadJob::Done() noexcept {
  memory_.reset();
  listener_->Finished(std::move(failure_));
}

}  // namespace ce
