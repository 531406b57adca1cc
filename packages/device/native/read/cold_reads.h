// Decides how to read data that is not in the page cache: measures both methods on each file system and uses the faster
// one.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <mutex>

namespace ce {

class ColdReads {
 public:
  enum class Way {
    kReadahead,  // Through the page cache, with readahead.
    kDirect,     // Bypasses the page cache.
  };

  // Returns the decision for the file system with this device number, for the life of the process.
  static ColdReads& On(dev_t file_system);

  // Alternates until each method was measured a few times; later checks occasionally whether the slower one is still
  // slower.
  Way Choose() noexcept;
  // Records the duration of one read.
  void Measured(Way way, uint64_t bytes, double seconds) noexcept;
  // Records that reads on the file system cannot bypass the page cache.
  void RefuseDirect() noexcept;

 private:
  struct Cost {
    double seconds_per_byte = 0;
    unsigned samples = 0;
  };

  std::mutex mutex_;
  unsigned turn_ = 0;
  bool has_direct_ = true;
  Cost readahead_;
  Cost direct_;
};

}  // namespace ce
