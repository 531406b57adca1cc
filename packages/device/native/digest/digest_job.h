// Digests ranges of host memory with the threads of a pool.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "ce/failure.h"
#include "ce/thread_pool.h"
#include "digest/digest_plan.h"
#include "digest/digest_sums.h"
#include "memory/memory.h"

namespace ce {

class DigestJob final : public Job {
 public:
  // Receives the sums, or the reason of a failure, which can occur only for memory that maps a file.
  using Completion = std::function<void(std::vector<uint64_t> sums, const std::optional<Failure>& failure)>;

  DigestJob(MemoryPtr memory, const DigestPlan& plan, Completion done);

  size_t pieces() const override { return piece_ends_.size(); }
  void Run(size_t piece) noexcept override;
  void Done() noexcept override;

 private:
  void Add(const DigestRange& range);

  MemoryPtr memory_;
  const Completion done_;
  DigestSums sums_;
  std::vector<DigestRange> parts_;
  std::vector<size_t> piece_ends_;  // For each piece: one past its last part.
  std::mutex mutex_;
  std::optional<Failure> failure_;
};

}  // namespace ce
