// Memory that this process can address, on the host or on a GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace ce {

enum class MemoryKind { kHost, kDevice };

class BackingFile;

// Always owned through Reaper::Own: copies in flight hold it, and the last owner does not pay for freeing it.
class Memory {
 public:
  virtual ~Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  MemoryKind kind() const { return kind_; }
  uint64_t address() const { return address_; }
  size_t size() const { return size_; }
  uint8_t* host_data() const { return reinterpret_cast<uint8_t*>(address_); }

  // The handle with which another process opens the memory; empty if it is not shared.
  virtual std::string handle() const { return {}; }
  // Whether the device copies from it at full speed.
  virtual bool pinned() const { return true; }
  // A device's copies must not cross a multiple of this; 0 if there is no such limit.
  virtual size_t piece_bytes() const { return 0; }
  // The file whose bytes the memory maps; null if there is none. The processor copies such bytes through the file,
  // because access to a page that the file has lost would end the process.
  virtual const BackingFile* file() const { return nullptr; }
  // Reports that this many more bytes are backed by pages.
  virtual void Filled(uint64_t) const noexcept {}
  // The owner closed the memory: it cannot be opened any more. Current holders may continue to use it.
  virtual void Retire() noexcept {}
  // Frees the memory even if other processes have it open, once this process has released it.
  virtual void Discard() noexcept {}

 protected:
  Memory(MemoryKind kind, uint64_t address, size_t size) : kind_(kind), address_(address), size_(size) {}

 private:
  const MemoryKind kind_;
  const uint64_t address_;
  const size_t size_;
};

using MemoryPtr = std::shared_ptr<Memory>;

}  // namespace ce
