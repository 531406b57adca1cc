// Pins the pieces of a memory as a read fills them, on other threads than those of the read.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "ce/thread_pool.h"
#include "copy/stream.h"
#include "cuda/pinnable_memory.h"
#include "read/read_job.h"

namespace ce {

class PinningRead final : public ReadJob::Listener, public std::enable_shared_from_this<PinningRead> {
 public:
  // Calls `done` after everything is read and pinned.
  PinningRead(std::shared_ptr<PinnableMemory> memory, std::shared_ptr<ThreadPool> pool, const ReadPlan& plan,
              Stream::Completion done);

  void Filled(uint64_t begin, uint64_t end) noexcept override;
  void Finished(std::optional<Failure> failure) noexcept override;

 private:
  class PinJob;

  void Fail(std::optional<Failure> failure) noexcept;
  void Arrive() noexcept;

  std::shared_ptr<PinnableMemory> memory_;
  const std::shared_ptr<ThreadPool> pool_;
  const Stream::Completion done_;
  std::vector<std::atomic<uint64_t>> missing_;  // For each piece, the bytes that this read has not delivered yet.
  std::atomic<size_t> awaited_{1};              // Number of pieces being pinned, plus one for the read itself.
  std::mutex mutex_;
  std::optional<Failure> failure_;
};

}  // namespace ce
