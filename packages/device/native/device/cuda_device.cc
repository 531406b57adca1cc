#include "device/cuda_device.h"

#include <sys/mman.h>

#include <cstdio>
#include <future>
#include <utility>

#include "ce/reaper.h"
#include "cuda/cuda_stream.h"
#include "cuda/device_memory.h"
#include "cuda/pinnable_memory.h"
#include "cuda/pinning_read.h"
#include "memory/mapped_file.h"
#include "memory/private_memory.h"
#include "memory/segment_name.h"
#include "memory/shared_segment.h"

namespace ce {
namespace {

// Uses the format of nvidia-smi. A MIG partition is recognized by its name.
std::string UuidText(const CUuuid& uuid, const std::string& name) {
  std::string text = name.find(" MIG ") == std::string::npos ? "GPU" : "MIG";
  for (int i = 0; i < 16; i++) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", uuid.bytes[i]);
    if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += digits;
  }
  return text;
}

CudaDeviceInfo Describe(const CudaDriver& driver, int index) {
  CUdevice device = 0;
  char name[256] = {};
  CUuuid uuid{};
  size_t bytes = 0;
  driver.Check(driver.DeviceGet(&device, index), "cuDeviceGet");
  driver.Check(driver.DeviceGetName(name, sizeof name - 1, device), "cuDeviceGetName");
  driver.Check(driver.DeviceGetUuid(&uuid, device), "cuDeviceGetUuid");
  driver.Check(driver.DeviceTotalMem(&bytes, device), "cuDeviceTotalMem");
  return {index, UuidText(uuid, name), name, bytes};
}

CudaDeviceInfo Choose(int index) {
  CudaDevices all = CudaDevices::List();
  if (!all.unavailable.empty()) {
    throw Failure("CE_DEVICE_UNAVAILABLE", "CUDA is not usable on this machine: " + all.unavailable,
                  "Install the NVIDIA driver, or set CHECKPOINT_ENGINE_CUDA_LIB to the path of its library");
  }
  if (static_cast<size_t>(index) >= all.devices.size()) {
    throw Failure("CE_DEVICE_UNAVAILABLE",
                  "GPU " + std::to_string(index) + " was requested, but " + std::to_string(all.devices.size()) +
                      " are visible to this process",
                  "Check nvidia-smi and CUDA_VISIBLE_DEVICES");
  }
  return all.devices[static_cast<size_t>(index)];
}

// Populates pages with several threads (the driver would use only one), and pins them.
class PinJob final : public Job {
 public:
  explicit PinJob(std::shared_ptr<PinnableMemory> memory) : memory_(std::move(memory)) {}
  size_t pieces() const override { return memory_->pieces(); }
  void Run(size_t piece) noexcept override {
    std::optional<Failure> failure = FailureOf([&] {
      memory_->Populate(piece);
      memory_->Pin(piece);
    });
    if (!failure) return;
    std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::move(failure);
  }
  void Done() noexcept override { done_.set_value(); }

  void Wait() {
    done_.get_future().wait();
    if (failure_) throw *failure_;
  }

 private:
  const std::shared_ptr<PinnableMemory> memory_;
  std::mutex mutex_;
  std::optional<Failure> failure_;
  std::promise<void> done_;
};

}  // namespace

CudaDevices CudaDevices::List() {
  CudaDevices list;
  const CudaDriver& driver = CudaDriver::Get();
  list.unavailable = driver.unavailable();
  if (!list.unavailable.empty()) return list;
  const DriverGate::Pass pass = DriverGate::Get().Enter();
  list.driver_path = driver.library.path;
  driver.Check(driver.DriverGetVersion(&list.driver_version), "cuDriverGetVersion");
  int count = 0;
  driver.Check(driver.DeviceGetCount(&count), "cuDeviceGetCount");
  for (int index = 0; index < count; index++) list.devices.push_back(Describe(driver, index));
  return list;
}

CudaDevice::CudaDevice(CudaOptions options)
    : options_(std::move(options)),
      info_(Choose(options_.index)),
      context_(RetainContext(options_.index)),
      copy_pool_(Reaper::Own(std::make_unique<ThreadPool>(options_.threads, "ce-copy"))),
      read_pool_(Reaper::Own(std::make_unique<ThreadPool>(options_.threads, "ce-read"))),
      pin_pool_(Reaper::Own(std::make_unique<ThreadPool>(2, "ce-pin"))) {
  try {
    SweepSegments(options_.directory);
  } catch (const Failure&) {
    // A GPU is useful without shared host memory as well.
  }
}

MemoryInfo CudaDevice::Info() const {
  const CudaSession cuda(*context_);
  size_t free = 0;
  size_t total = 0;
  cuda->Check(cuda->MemGetInfo(&free, &total), "cuMemGetInfo");
  return {free, total};
}

MemoryPtr CudaDevice::AllocateShared(size_t size) { return AllocateExported(context_, size); }

MemoryPtr CudaDevice::OpenShared(const std::string& handle, size_t size) {
  if (SegmentName::Parse(handle)) return Pinnable(OpenSegment(options_.directory, handle, size));
  return OpenExported(context_, handle, size);
}

MemoryPtr CudaDevice::Allocate(size_t size) { return AllocateDevice(context_, size); }

MemoryPtr CudaDevice::AllocateHost(size_t size, bool shared) {
  return Pinnable(shared ? CreateSegment(options_.directory, size) : AllocatePrivate(size));
}

MemoryPtr CudaDevice::Map(const std::string& path) { return Pinnable(MapFile(path, FileSharing::kInPlaceOnTmpfs)); }

void CudaDevice::Pin(const MemoryPtr& memory) {
  auto pinnable = std::dynamic_pointer_cast<PinnableMemory>(memory);
  if (!pinnable || pinnable->pinned()) return;
  auto job = std::make_shared<PinJob>(std::move(pinnable));
  read_pool_->Submit(job);
  job->Wait();
}

std::shared_ptr<Stream> CudaDevice::CreateStream() {
  return Reaper::Own<Stream>(std::make_unique<CudaStream>(context_));
}

std::shared_ptr<ReadJob> CudaDevice::Read(MemoryPtr memory, const std::vector<std::string>& paths,
                                          std::vector<ReadRange> ranges, std::shared_ptr<ReadDigest> digest,
                                          Stream::Completion done) {
  ReadPlan plan = PlanRead(std::move(ranges));
  std::shared_ptr<ReadJob::Listener> listener;
  if (auto pinnable = std::dynamic_pointer_cast<PinnableMemory>(memory)) {
    listener = std::make_shared<PinningRead>(std::move(pinnable), pin_pool_, plan, std::move(done));
  } else {
    throw Failure("CE_NOT_SUPPORTED", "A GPU reads into host memory of its own device", "Use allocateHost()");
  }
  auto job =
      std::make_shared<ReadJob>(std::move(memory), paths, std::move(plan), std::move(listener), std::move(digest));
  read_pool_->Submit(job);
  return job;
}

MemoryPtr CudaDevice::Pinnable(MemoryPtr host) const {
  return Reaper::Own<Memory>(std::make_unique<PinnableMemory>(context_, std::move(host)));
}

}  // namespace ce
