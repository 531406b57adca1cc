// A GPU behind the CUDA driver.
#pragma once

#include "cuda/cuda_session.h"
#include "device/device.h"

namespace ce {

struct CudaDeviceInfo {
  int index;
  std::string uuid;
  std::string name;
  uint64_t total_bytes;
};

// The GPUs that are visible to this process (CUDA_VISIBLE_DEVICES), or the reason why there are none.
struct CudaDevices {
  std::string unavailable;
  std::string driver_path;
  int driver_version = 0;  // 1000 * major + 10 * minor of the newest CUDA that it supports.
  std::vector<CudaDeviceInfo> devices;

  static CudaDevices List();
};

struct CudaOptions {
  int index;
  unsigned threads;
  std::string directory;  // Location of shared host memory.
};

class CudaDevice final : public Device {
 public:
  // Throws CE_DEVICE_UNAVAILABLE.
  explicit CudaDevice(CudaOptions options);

  std::string uuid() const override { return info_.uuid; }
  std::string name() const override { return info_.name; }
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
  MemoryPtr Pinnable(MemoryPtr host) const;

  const CudaOptions options_;
  const CudaDeviceInfo info_;
  const CudaContextPtr context_;
  const std::shared_ptr<ThreadPool> copy_pool_;
  const std::shared_ptr<ThreadPool> read_pool_;
  const std::shared_ptr<ThreadPool> pin_pool_;
};

}  // namespace ce
