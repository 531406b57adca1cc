// How to read what the page cache does not have: measures both ways on each file system and goes with the faster.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <mutex>

namespace ce {

class ColdReads {
 public:
  enum class Way {
    kReadahead,  // Through the page cache, asked for ahead.
    kDirect,     // Past it.
  };

  // Of the file system with this device number, for the life of the process.
  static ColdReads& On(dev_t file_system);

  // Takes turns until each way was measured a few times; later looks now and then whether the slower one still is.
  Way Choose() noexcept;
  // How long one read took.
  void Measured(Way way, uint64_t bytes, double seconds) noexcept;
  // The file system cannot read past the page cache.
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
