#include "digest/digest_job.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "memory/backing_file.h"

namespace ce {
namespace {

// Large enough that the distribution of pieces costs little, small enough that all threads finish together.
constexpr uint64_t kPieceBytes = uint64_t{1} << 20;
// The bytes of a file pass through a buffer that stays in the cache.
constexpr uint64_t kBufferBytes = uint64_t{128} << 10;

uint8_t* Buffer() {
  thread_local std::unique_ptr<uint8_t[]> buffer(new uint8_t[kBufferBytes]);
  return buffer.get();
}

// Cuts a range into parts of at most `most` bytes, but of at least one row.
DigestRange TakePart(DigestRange& rest, uint64_t most) {
  DigestRange part = rest;
  if (rest.rows > 1 && rest.row_bytes <= most) {
    part.rows = std::min(rest.rows, most / std::max<uint64_t>(1, rest.row_bytes));
    rest.memory_offset += part.rows * rest.memory_pitch;
    rest.position += part.rows * rest.position_pitch;
    rest.rows -= part.rows;
    return part;
  }
  part.rows = 1;
  part.row_bytes = std::min(rest.row_bytes, most);
  rest.memory_offset += part.row_bytes;
  rest.position += part.row_bytes;
  rest.row_bytes -= part.row_bytes;
  if (rest.row_bytes == 0) rest.rows = 0;
  return part;
}

}  // namespace

DigestJob::DigestJob(MemoryPtr memory, const DigestPlan& plan, Completion done)
    : memory_(std::move(memory)), done_(std::move(done)), sums_(plan) {
  uint64_t filled = 0;
  const auto cut = [this, &filled](DigestRange rest) {
    while (rest.rows > 0 && rest.row_bytes > 0) {
      const DigestRange part = TakePart(rest, kPieceBytes);
      parts_.push_back(part);
      filled += part.rows * part.row_bytes;
      if (filled < kPieceBytes) continue;
      piece_ends_.push_back(parts_.size());
      filled = 0;
    }
  };
  for (const DigestRange& range : plan.ranges) {
    if (range.row_bytes <= kPieceBytes) {
      cut(range);
      continue;
    }
    for (uint64_t row = 0; row < range.rows; row++) {
      DigestRange one = range;
      one.rows = 1;
      one.memory_offset += row * range.memory_pitch;
      one.position += row * range.position_pitch;
      cut(one);
    }
  }
  if (piece_ends_.empty() || piece_ends_.back() < parts_.size()) piece_ends_.push_back(parts_.size());
}

void DigestJob::Run(size_t piece) noexcept {
  std::optional<Failure> failure = FailureOf([&] {
    for (size_t i = piece == 0 ? 0 : piece_ends_[piece - 1]; i < piece_ends_[piece]; i++) Add(parts_[i]);
  });
  if (!failure) return;
  std::lock_guard lock(mutex_);
  if (!failure_) failure_ = std::move(failure);
}

void DigestJob::Add(const DigestRange& range) {
  const BackingFile* const file = memory_->file();
  for (uint64_t row = 0; row < range.rows; row++) {
    const uint64_t offset = range.memory_offset + row * range.memory_pitch;
    const uint64_t position = range.position + row * range.position_pitch;
    if (file == nullptr) {
      sums_.Add(memory_->host_data() + offset, range.row_bytes, position, range, DigestSums::Level::kMemory);
      continue;
    }
    for (uint64_t done = 0; done < range.row_bytes; done += kBufferBytes) {
      const uint64_t part = std::min(kBufferBytes, range.row_bytes - done);
      file->Read(offset + done, Buffer(), part);
      sums_.Add(Buffer(), part, position + done, range, DigestSums::Level::kCache);
    }
  }
}

void DigestJob::Done() noexcept {
  memory_.reset();
  done_(failure_ ? std::vector<uint64_t>() : sums_.Get(), failure_);
}

}  // namespace ce
