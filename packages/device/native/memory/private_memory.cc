#include "memory/private_memory.h"

#include <utility>

#include "ce/failure.h"
#include "ce/mapping.h"
#include "ce/reaper.h"
#include "memory/memory_claim.h"

namespace ce {
namespace {

constexpr size_t kHugePageBytes = size_t{2} << 20;

class PrivateMemory final : public Memory {
 public:
  PrivateMemory(Mapping mapping, size_t size, std::unique_ptr<MemoryClaim> claim)
      : Memory(MemoryKind::kHost, reinterpret_cast<uint64_t>(mapping.data()), size),
        claim_(std::move(claim)),
        mapping_(std::move(mapping)) {}

  void Filled(uint64_t bytes) const noexcept override {
    if (claim_) claim_->Filled(bytes);
  }

 private:
  const std::unique_ptr<MemoryClaim> claim_;
  const Mapping mapping_;
};

}  // namespace

MemoryPtr AllocatePrivate(size_t size) {
  // Free a recently closed pool first: both may not fit at the same time, and reused pages are faster.
  Reaper::Get().Wait();
  std::unique_ptr<MemoryClaim> claim = MemoryClaim::Take(size);
  Mapping mapping = Mapping::Anonymous((size + kHugePageBytes - 1) & ~(kHugePageBytes - 1), kHugePageBytes);
  if (!mapping) {
    throw SystemFailure("CE_HOST_OUT_OF_MEMORY", "Cannot map " + std::to_string(size) + " bytes of host memory",
                        "Free host memory or raise the limit of address space (ulimit -v)", "mmap");
  }
  // Kernels without huge pages refuse; the memory is then only slower to fill.
  ::madvise(mapping.data(), mapping.size(), MADV_HUGEPAGE);
  return Reaper::Own<Memory>(std::make_unique<PrivateMemory>(std::move(mapping), size, std::move(claim)));
}

}  // namespace ce
