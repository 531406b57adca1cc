// Reads file ranges into host memory with the threads of a pool.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "ce/failure.h"
#include "ce/thread_pool.h"
#include "digest/read_digest.h"
#include "memory/memory.h"
#include "read/open_files.h"
#include "read/read_plan.h"

namespace ce {

class ReadJob final : public Job {
 public:
  // Receives events on the pool's threads.
  class Listener {
   public:
    virtual ~Listener() = default;
    // A piece that is finished touched bytes [begin, end) of the memory.
    virtual void Filled(uint64_t begin, uint64_t end) noexcept = 0;
    // Called after the last piece.
    virtual void Finished(std::optional<Failure> failure) noexcept = 0;
  };

  // Digests what it reads, unless `digest` is null.
  ReadJob(MemoryPtr memory, const std::vector<std::string>& paths, ReadPlan plan, std::shared_ptr<Listener> listener,
          std::shared_ptr<ReadDigest> digest);

  // Skips everything that is not read yet, and fails the read with `failure`. The first failure wins.
  void Fail(Failure failure) noexcept;
  uint64_t done_bytes() const { return done_bytes_; }

  size_t pieces() const override { return std::max<size_t>(1, plan_.pieces.size()); }
  void Run(size_t piece) noexcept override;
  void Done() noexcept override;

 private:
  MemoryPtr memory_;
  const ReadPlan plan_;
  const std::shared_ptr<Listener> listener_;
  const std::shared_ptr<ReadDigest> digest_;
  OpenFiles files_;
  std::atomic<uint64_t> done_bytes_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::optional<Failure> failure_;
};

}  // namespace ce
