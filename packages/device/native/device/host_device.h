// A host that replaces a GPU: shared segments as device memory, threads as copy engines.
#pragma once

#include "device/device.h"

namespace ce {

struct HostOptions {
  unsigned index;
  unsigned threads;
  std::string directory;
};

class HostDevice final : public Device {
 public:
  explicit HostDevice(HostOptions options);

  std::string uuid() const override;
  std::string name() const override { return "host"; }
  MemoryInfo Info() const override;
  MemoryPtr AllocateShared(size_t size) override;
  MemoryPtr OpenShared(const std::string& handle, size_t size) override;
  MemoryPtr Allocate(size_t size) override;
  MemoryPtr AllocateHost(size_t size, bool shared) override;
  MemoryPtr Map(const std::string& path) override;
  void Pin(const MemoryPtr& memory) override;
  std::shared_ptr<Stream> CreateStream() override;
  std::shared_ptr<ReadJob> Read(MemoryPtr memory, const std::vector<std::string>& paths, std::vector<ReadRange> ranges,
                                std::shared_ptr<ReadDigest> digest, Stream::Completion done) override;
  std::shared_ptr<ThreadPool> copy_pool() const override { return copy_pool_; }

 private:
  const HostOptions options_;
  const std::shared_ptr<ThreadPool> copy_pool_;
  const std::shared_ptr<ThreadPool> read_pool_;
};

}  // namespace ce
