// Memory that a process was promised and has not filled yet. What the system calls available does not know of it, so
// that processes which look at the same moment would all be promised the same bytes, and the kernel would end one.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "ce/unique_fd.h"

namespace ce {

class MemoryClaim {
 public:
  // Where the claims of this user's processes are, a file each. A lock on it tells that its process lives.
  static constexpr char kDirectory[] = "/dev/shm";

  // Removes claims of processes that are gone.
  static void Sweep();
  // Checks that `size` bytes are available beside what others claim, and claims them. Null for a few bytes, and where claims cannot
  // be kept.
  // Throws CE_HOST_OUT_OF_MEMORY.
  static std::unique_ptr<MemoryClaim> Take(uint64_t size);
  ~MemoryClaim();

  // So many more bytes are backed by pages, and known to the system. Any thread.
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
