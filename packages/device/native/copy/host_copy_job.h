// A batch of host copies, cut into pieces for a thread pool.
#pragma once

#include <functional>
#include <vector>

#include "ce/thread_pool.h"
#include "copy/copy_batch.h"

namespace ce {

class HostCopyJob final : public Job {
 public:
  // `done` is called after the last piece.
  HostCopyJob(CopyBatch batch, std::function<void()> done);

  size_t pieces() const override { return piece_ends_.size(); }
  void Run(size_t piece) noexcept override;
  void Done() noexcept override;

 private:
  void CutIntoPieces();

  CopyBatch batch_;
  std::function<void()> done_;
  const bool overlaps_;
  std::vector<size_t> piece_ends_;  // Of each piece: one past its last range.
};

}  // namespace ce
