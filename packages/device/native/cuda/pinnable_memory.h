// Host memory that is page-locked for the GPU in pieces.
#pragma once

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>

#include "cuda/cuda_session.h"
#include "memory/memory.h"

namespace ce {

class PinnableMemory final : public Memory {
 public:
  // Small enough that pinning starts early and ends soon after the last byte was read.
  static constexpr size_t kPieceBytes = size_t{256} << 20;

  PinnableMemory(CudaContextPtr context, MemoryPtr host);
  // Unpins the memory, then frees it.
  ~PinnableMemory() override;

  std::string handle() const override { return host_->handle(); }
  bool pinned() const override { return pinned_count_ == pieces_.size(); }
  size_t piece_bytes() const override { return kPieceBytes; }
  const BackingFile* file() const override { return host_->file(); }
  void Filled(uint64_t bytes) const noexcept override { host_->Filled(bytes); }
  void Retire() noexcept override { host_->Retire(); }

  // Populates the pages of the piece. Does nothing if the system does not support it.
  void Populate(size_t piece) const noexcept;
  size_t pieces() const { return pieces_.size(); }
  // Returns when the piece is pinned. Idempotent, from any thread. Throws CE_DEVICE_FAILED.
  void Pin(size_t piece);

 private:
  struct Piece {
    std::mutex mutex;
    bool pinned = false;
  };

  uint8_t* PieceData(size_t piece) const { return host_->host_data() + piece * kPieceBytes; }
  size_t PieceSize(size_t piece) const { return std::min(kPieceBytes, size() - piece * kPieceBytes); }

  const CudaContextPtr context_;
  const MemoryPtr host_;
  std::deque<Piece> pieces_;
  std::atomic<size_t> pinned_count_{0};
};

}  // namespace ce
