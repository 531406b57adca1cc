// Memory that was promised to a process and is not filled yet. The system still counts it as available, so
// processes that check at the same moment would all get the same bytes, and the kernel would kill one of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "ce/unique_fd.h"

namespace ce {

class MemoryClaim {
 public:
  // Directory of the claims of this user's processes, one file each. A lock on the file shows that its process is
  // alive.
  static constexpr char kDirectory[] = "/dev/shm";

  // Removes the claims of processes that are gone.
  static void Sweep();
  // Checks that `size` bytes are available in addition to the claims of others, and claims them. Null for a few bytes,
  // and if the directory cannot hold claims. Throws CE_HOST_OUT_OF_MEMORY.
  static std::unique_ptr<MemoryClaim> Take(uint64_t size);
  ~MemoryClaim();

  // Reports that this many more bytes are backed by pages, so the system counts them. Callable from any thread.
  void Filled(uint64_t bytes) noexcept;

 private:
  MemoryClaim(UniqueFd fd, std::string path, uint64_t size)
      : fd_(std::move(fd)), path_(std::move(path)), size_(size), left_(size) {}

  const UniqueFd fd_;
  const std::string path_;
  const uint64_t size_;
  std::atomic<uint64_t> left_;
  std::atomic<uint64_t> unsaid_{0};
};

}  // namespace ce
