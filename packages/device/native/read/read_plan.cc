#include "read/read_plan.h"

#include <limits.h>

#include <algorithm>
#include <tuple>

namespace ce {
namespace {

bool Before(const ReadRange& a, const ReadRange& b) {
  return std::tie(a.file, a.file_offset) < std::tie(b.file, b.file_offset);
}

// Whether two ranges are contiguous in the file and in memory.
bool Continues(const ReadRange& a, const ReadRange& b) {
  return a.file == b.file && a.file_offset + a.size == b.file_offset && a.memory_offset + a.size == b.memory_offset;
}

std::vector<ReadRange> Merge(std::vector<ReadRange> ranges) {
  if (!std::is_sorted(ranges.begin(), ranges.end(), Before)) std::sort(ranges.begin(), ranges.end(), Before);
  std::vector<ReadRange> merged;
  for (const ReadRange& range : ranges) {
    if (range.size == 0) continue;
    if (!merged.empty() && Continues(merged.back(), range)) {
      merged.back().size += range.size;
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

std::vector<ReadRange> Split(const std::vector<ReadRange>& ranges) {
  std::vector<ReadRange> parts;
  for (ReadRange rest : ranges) {
    while (rest.size > 0) {
      ReadRange part = rest;
      part.size = std::min(rest.size, kReadPieceBytes - rest.memory_offset % kReadPieceBytes);
      parts.push_back(part);
      rest.file_offset += part.size;
      rest.memory_offset += part.size;
      rest.size -= part.size;
    }
  }
  return parts;
}

}  // namespace

ReadPlan PlanRead(std::vector<ReadRange> ranges) {
  ReadPlan plan;
  plan.ranges = Split(Merge(std::move(ranges)));
  uint64_t piece_bytes = 0;
  for (size_t i = 0; i < plan.ranges.size(); i++) {
    const ReadRange& range = plan.ranges[i];
    const bool new_piece = i == 0 || piece_bytes + range.size > kReadPieceBytes;
    const ReadRange* last = i == 0 ? nullptr : &plan.ranges[i - 1];
    const bool new_run = new_piece || last->file != range.file || last->file_offset + last->size != range.file_offset ||
                         i - plan.runs.back().begin == IOV_MAX;
    if (new_run) {
      plan.runs.push_back({i, i + 1});
    } else {
      plan.runs.back().end = i + 1;
    }
    if (new_piece) {
      plan.pieces.push_back({plan.runs.size() - 1, plan.runs.size()});
      piece_bytes = range.size;
    } else {
      plan.pieces.back().end = plan.runs.size();
      piece_bytes += range.size;
    }
  }
  return plan;
}

}  // namespace ce
