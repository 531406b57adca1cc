// Divides file ranges into pieces that threads read one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ce {

// A range of a file and its destination, from the start of the memory.
struct ReadRange {
  size_t file;
  uint64_t file_offset;
  uint64_t memory_offset;
  uint64_t size;
};

// A run of ranges that are contiguous in a file: one preadv.
struct ReadRun {
  size_t begin;  // Index into ReadPlan::ranges.
  size_t end;
};

struct ReadPiece {
  size_t begin;  // Index into ReadPlan::runs.
  size_t end;
};

struct ReadPlan {
  std::vector<ReadRange> ranges;
  std::vector<ReadRun> runs;
  std::vector<ReadPiece> pieces;
};

constexpr uint64_t kReadPieceBytes = uint64_t{8} << 20;

// Orders `ranges` by file and offset, splits the large ones at multiples of kReadPieceBytes of the memory (so
// that no two threads fill one huge page), joins neighbors into runs, and runs into pieces of about kReadPieceBytes.
ReadPlan PlanRead(std::vector<ReadRange> ranges);

}  // namespace ce
