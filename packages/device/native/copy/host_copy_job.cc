#include "copy/host_copy_job.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "copy/copy_bytes.h"
#include "memory/backing_file.h"

namespace ce {
namespace {

// Large enough that the distribution of pieces costs little, small enough that all threads finish together.
constexpr size_t kPieceBytes = size_t{2} << 20;

// Smaller copies fit into the caches. For larger ones even an immediate reader profits: buckets in shared
// memory are too large for the caches, and writing through them costs reading the overwritten memory.
constexpr size_t kMinPastCache = size_t{256} << 10;

uint8_t* Pointer(uint64_t address) { return reinterpret_cast<uint8_t*>(address); }

bool Overlap(uint64_t a, uint64_t b, size_t size) { return a < b + size && b < a + size; }

// Whether a range of the batch is written that another range reads or writes: then the copies must run in order to give
// the right bytes.
bool OrderMatters(const std::vector<CopyRange>& ranges) {
  struct Span {
    uint64_t begin;
    uint64_t end;
    bool written;
  };
  if (ranges.size() == 1) return Overlap(ranges[0].from, ranges[0].to, ranges[0].size);
  std::vector<Span> spans;
  spans.reserve(ranges.size() * 2);
  for (const CopyRange& range : ranges) {
    spans.push_back({range.from, range.from + range.size, false});
    spans.push_back({range.to, range.to + range.size, true});
  }
  std::sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.begin < b.begin; });
  uint64_t end_of_written = 0;
  uint64_t end_of_any = 0;
  for (const Span& span : spans) {
    if (span.begin < end_of_written || (span.written && span.begin < end_of_any)) return true;
    end_of_any = std::max(end_of_any, span.end);
    if (span.written) end_of_written = std::max(end_of_written, span.end);
  }
  return false;
}

}  // namespace

HostCopyJob::HostCopyJob(CopyBatch batch, Completion done)
    : batch_(std::move(batch)), done_(std::move(done)), overlaps_(OrderMatters(batch_.ranges)) {
  if (overlaps_) {
    piece_ends_.push_back(batch_.ranges.size());
  } else {
    CutIntoPieces();
  }
}

// Splits large ranges and combines small ones until each piece has about kPieceBytes.
void HostCopyJob::CutIntoPieces() {
  std::vector<CopyRange> cut;
  size_t filled = 0;
  for (CopyRange range : batch_.ranges) {
    while (range.size > 0) {
      CopyRange part = range;
      part.size = std::min(range.size, kPieceBytes - filled);
      cut.push_back(part);
      filled += part.size;
      range.from += part.size;
      range.to += part.size;
      range.size -= part.size;
      if (filled == kPieceBytes) {
        piece_ends_.push_back(cut.size());
        filled = 0;
      }
    }
  }
  if (filled > 0 || piece_ends_.empty()) piece_ends_.push_back(cut.size());
  batch_.ranges = std::move(cut);
}

void HostCopyJob::Run(size_t piece) noexcept {
  try {
    for (size_t i = piece == 0 ? 0 : piece_ends_[piece - 1]; i < piece_ends_[piece] && !failed_; i++) {
      Copy(batch_.ranges[i]);
    }
  } catch (const Failure& failure) {
    std::lock_guard lock(mutex_);
    if (!failure_) failure_ = failure;
    failed_ = true;
  }
}

void HostCopyJob::Copy(const CopyRange& range) const {
  const BackingFile* const file = range.from_memory == nullptr ? nullptr : range.from_memory->file();
  if (file != nullptr) {
    file->Read(range.from - range.from_memory->address(), Pointer(range.to), range.size);
  } else if (overlaps_) {
    std::memmove(Pointer(range.to), Pointer(range.from), range.size);
  } else if (range.size >= kMinPastCache) {
    CopyPastCache(Pointer(range.to), Pointer(range.from), range.size);
  } else {
    CopyThroughCache(Pointer(range.to), Pointer(range.from), range.size);
  }
}

void HostCopyJob::Done() noexcept {
  for (const CopyRange& range : batch_.ranges) {
    if (range.to_memory != nullptr) range.to_memory->Filled(range.size);
  }
  batch_ = {};  // Releases the memories before the caller learns that the copies are done.
  done_(failure_);
}

}  // namespace ce
