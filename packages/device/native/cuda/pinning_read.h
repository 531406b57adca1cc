// Pins the pieces of a memory as a read fills them, on other threads than those that read.
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
  // `done` is called when everything is read and what was read is pinned.
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
  std::vector<std::atomic<uint64_t>> missing_;  // Bytes that this read still brings, of each piece.
  std::atomic<size_t> awaited_{1};              // Pieces being pinned, and the read itself.
  std::mutex mutex_;
  std::optional<Failure> failure_;
};

}  // namespace ce
