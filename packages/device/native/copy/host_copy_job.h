// A batch of host copies, divided into pieces for a thread pool.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "ce/failure.h"
#include "ce/thread_pool.h"
#include "copy/copy_batch.h"

namespace ce {

class HostCopyJob final : public Job {
 public:
  // Receives the reason of a failure, which can occur only for copies from a file.
  using Completion = std::function<void(const std::optional<Failure>&)>;

  // Calls `done` after the last piece.
  HostCopyJob(CopyBatch batch, Completion done);

  size_t pieces() const override { return piece_ends_.size(); }
  void Run(size_t piece) noexcept override;
  void Done() noexcept override;

 private:
  void CutIntoPieces();
  void Copy(const CopyRange& range) const;

  CopyBatch batch_;
  Completion done_;
  const bool overlaps_;
  std::vector<size_t> piece_ends_;  // For each piece: one past its last range.
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::optional<Failure> failure_;
};

}  // namespace ce
