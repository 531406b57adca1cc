#include "cuda/pinning_read.h"

#include <utility>

namespace ce {
namespace {

// A range is within one piece, because reads are cut at multiples of kReadPieceBytes.
size_t PieceOf(uint64_t offset) { return offset / PinnableMemory::kPieceBytes; }
static_assert(PinnableMemory::kPieceBytes % kReadPieceBytes == 0);

}  // namespace

class PinningRead::PinJob final : public Job {
 public:
  PinJob(std::shared_ptr<PinningRead> read, size_t piece) : read_(std::move(read)), piece_(piece) {}
  size_t pieces() const override { return 1; }
  void Run(size_t) noexcept override {
    read_->Fail(FailureOf([this] { read_->memory_->Pin(piece_); }));
  }
  void Done() noexcept override { read_->Arrive(); }

 private:
  const std::shared_ptr<PinningRead> read_;
  const size_t piece_;
};

PinningRead::PinningRead(std::shared_ptr<PinnableMemory> memory, std::shared_ptr<ThreadPool> pool, const ReadPlan& plan,
                         Stream::Completion done)
    : memory_(std::move(memory)), pool_(std::move(pool)), done_(std::move(done)), missing_(memory_->pieces()) {
  for (const ReadRange& range : plan.ranges) missing_[PieceOf(range.memory_offset)] += range.size;
}

void PinningRead::Filled(uint64_t begin, uint64_t end) noexcept {
  const size_t piece = PieceOf(begin);
  const uint64_t left = missing_[piece] -= end - begin;
  if (left > 0) return;
  ++awaited_;
  std::optional<Failure> failure =
      FailureOf([&] { pool_->Submit(std::make_shared<PinJob>(shared_from_this(), piece)); });
  if (!failure) return;
  Fail(std::move(failure));
  Arrive();
}

void PinningRead::Finished(std::optional<Failure> failure) noexcept {
  Fail(std::move(failure));
  Arrive();
}

void PinningRead::Fail(std::optional<Failure> failure) noexcept {
  std::lock_guard lock(mutex_);
  if (!failure_) failure_ = std::move(failure);
}

void PinningRead::Arrive() noexcept {
  if (--awaited_ > 0) return;
  memory_.reset();
  done_(failure_);
}

}  // namespace ce
