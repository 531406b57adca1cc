// Memory and copies of one GPU, or of a host that replaces one.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "copy/stream.h"
#include "memory/memory.h"
#include "read/read_job.h"

namespace ce {

struct MemoryInfo {
  uint64_t free_bytes;
  uint64_t total_bytes;
};

// The objects that a device creates may outlive it. Calls block unless stated otherwise, may come from any thread, and
// throw Failure.
class Device {
 public:
  virtual ~Device() = default;

  virtual std::string uuid() const = 0;
  virtual std::string name() const = 0;
  // Does not block.
  virtual MemoryInfo Info() const = 0;
  virtual MemoryPtr AllocateShared(size_t size) = 0;
  virtual MemoryPtr OpenShared(const std::string& handle, size_t size) = 0;
  virtual MemoryPtr Allocate(size_t size) = 0;
  virtual MemoryPtr AllocateHost(size_t size, bool shared) = 0;
  virtual MemoryPtr Map(const std::string& path) = 0;
  virtual void Pin(const MemoryPtr& memory) = 0;
  virtual std::shared_ptr<Stream> CreateStream() = 0;
  // Starts to read and returns immediately. If the device pins memory, everything read is pinned before `done`.
  // Adds the bytes that it reads to `digest`, which may be null.
  virtual std::shared_ptr<ReadJob> Read(MemoryPtr memory, const std::vector<std::string>& paths,
                                        std::vector<ReadRange> ranges, std::shared_ptr<ReadDigest> digest,
                                        Stream::Completion done) = 0;
  // Does not block.
  virtual std::shared_ptr<ThreadPool> copy_pool() const = 0;
};

}  // namespace ce
