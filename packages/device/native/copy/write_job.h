// A copy from bytes that JavaScript owns. The end of the environment frees them, so the copy must stop before that.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <utility>
#include <vector>

#include "ce/thread_pool.h"
#include "copy/host_copy_job.h"

namespace ce {

class WriteJob final : public Job {
 public:
  WriteJob(CopyBatch batch, HostCopyJob::Completion done) : copy_(std::move(batch), std::move(done)) {}

  size_t pieces() const override { return copy_.pieces(); }

  void Run(size_t piece) noexcept override {
    std::shared_lock lock(reading_);
    if (!stopped_) copy_.Run(piece);
  }

  void Done() noexcept override { copy_.Done(); }

  // Waits until the threads have copied their current pieces. No thread reads the bytes after that.
  void Stop() {
    stopped_ = true;
    std::unique_lock lock(reading_);
  }

 private:
  HostCopyJob copy_;
  std::atomic<bool> stopped_{false};
  std::shared_mutex reading_;
};

// The copies of one environment from its own bytes. Used on the JavaScript thread.
class WriteJobs {
 public:
  void Add(const std::shared_ptr<WriteJob>& job) {
    jobs_.erase(std::remove_if(jobs_.begin(), jobs_.end(), [](const auto& entry) { return entry.expired(); }),
                jobs_.end());
    jobs_.push_back(job);
  }

  void Stop() {
    for (const std::weak_ptr<WriteJob>& entry : jobs_) {
      if (const std::shared_ptr<WriteJob> job = entry.lock()) job->Stop();
    }
    jobs_.clear();
  }

 private:
  std::vector<std::weak_ptr<WriteJob>> jobs_;
};

}  // namespace ce
