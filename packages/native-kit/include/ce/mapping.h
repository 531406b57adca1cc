// A memory mapping that unmaps itself.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace ce {

class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (data_) ::munmap(data_, size_);
  }

  // Empty on failure, with the reason in errno.
  static Mapping Map(size_t size, int protection, int flags, int fd = -1) {
    void* data = ::mmap(nullptr, size, protection, flags, fd, 0);
    return data == MAP_FAILED ? Mapping() : Mapping(static_cast<uint8_t*>(data), size);
  }

  // Private memory whose start is a multiple of `alignment` (a power of two). Empty on failure, reason in errno.
  static Mapping Anonymous(size_t size, size_t alignment) {
    Mapping whole = Map(size + alignment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
    if (!whole) return whole;
    const auto start = reinterpret_cast<uintptr_t>(whole.data_);
    const size_t head = ((start + alignment - 1) & ~(alignment - 1)) - start;
    if (head > 0) ::munmap(whole.data_, head);
    if (alignment > head) ::munmap(whole.data_ + head + size, alignment - head);
    uint8_t* data = std::exchange(whole.data_, nullptr) + head;
    return Mapping(data, size);
  }

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  Mapping(uint8_t* data, size_t size) : data_(data), size_(size) {}

  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace ce
