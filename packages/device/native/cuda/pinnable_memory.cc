#include "cuda/pinnable_memory.h"

#include <sys/mman.h>

#include <utility>

namespace ce {

PinnableMemory::PinnableMemory(CudaContextPtr context, MemoryPtr host)
    : Memory(MemoryKind::kHost, host->address(), host->size()),
      context_(std::move(context)),
      host_(std::move(host)),
      pieces_((size() + kPieceBytes - 1) / kPieceBytes) {}

PinnableMemory::~PinnableMemory() {
  if (pinned_count_ == 0) return;
  try {
    const CudaSession cuda(*context_);
    for (size_t piece = 0; piece < pieces_.size(); piece++) {
      if (pieces_[piece].pinned) cuda->MemHostUnregister(PieceData(piece));
    }
  } catch (const Failure&) {
    // A context that cannot be entered no longer holds pinned pages.
  }
}

void PinnableMemory::Populate(size_t piece) const noexcept {
#ifndef MADV_POPULATE_WRITE
  constexpr int MADV_POPULATE_WRITE = 23;  // Since Linux 5.14.
#endif
  ::madvise(PieceData(piece), PieceSize(piece), MADV_POPULATE_WRITE);
}

void PinnableMemory::Pin(size_t index) {
  Piece& piece = pieces_[index];
  std::lock_guard lock(piece.mutex);
  if (piece.pinned) return;
  const size_t bytes = PieceSize(index);
  const CudaSession cuda(*context_);
  const CUresult status = cuda->MemHostRegister(PieceData(index), bytes, kHostRegisterPortable);
  if (status != kCudaSuccess) {
    throw Failure("CE_DEVICE_FAILED",
                  "Cannot pin " + std::to_string(bytes) + " bytes of host memory: " + cuda->ErrorText(status),
                  "Raise the limit of locked memory (ulimit -l, docker run --ulimit memlock=-1) or free host memory")
        .From("cuMemHostRegister", status);
  }
  piece.pinned = true;
  ++pinned_count_;
}

}  // namespace ce
