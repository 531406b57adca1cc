// Names of shared memory segments: checkpoint-engine-<uid>-<pid>-<start time of the process>-<random>.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace ce {

struct SegmentName {
  uid_t user;
  pid_t process;
  uint64_t process_start;  // Clock ticks since boot, as in /proc/<pid>/stat; distinguishes a reused process id.
  std::string text;

  // Creates a new name for this process.
  static SegmentName Make();
  // Empty if `text` is not a segment name.
  static std::optional<SegmentName> Parse(const std::string& text);

  // Whether the process that created the name still runs, as far as this process's PID namespace shows.
  bool ProcessRuns() const;
};

}  // namespace ce
