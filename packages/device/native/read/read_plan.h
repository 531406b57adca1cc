// Cuts file ranges into pieces that threads read one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ce {

// A range of a file and where its bytes go, from the start of the memory.
struct ReadRange {
  size_t file;
  uint64_t file_offset;
  uint64_t memory_offset;
  uint64_t size;
};

// A run of ranges that lie one behind the other in a file: one preadv.
struct ReadRun {
  size_t begin;  // Of ReadPlan::ranges.
  size_t end;
};

struct ReadPiece {
  size_t begin;  // Of ReadPlan::runs.
  size_t end;
};

struct ReadPlan {
  std::vector<ReadRange> ranges;
  std::vector<ReadRun> runs;
  std::vector<ReadPiece> pieces;
};

constexpr uint64_t kReadPieceBytes = uint64_t{8} << 20;

// Orders `ranges` by file and place in it, splits the large ones at multiples of kReadPieceBytes of the memory (so
// that no two threads fill one huge page), joins neighbours into runs, and runs into pieces of about kReadPieceBytes.
ReadPlan PlanRead(std::vector<ReadRange> ranges);

}  // namespace ce
