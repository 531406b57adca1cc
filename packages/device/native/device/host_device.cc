#include "device/host_device.h"

#include <sys/statvfs.h>

#include <fstream>
#include <utility>

#include "ce/reaper.h"
#include "copy/host_stream.h"
#include "memory/mapped_file.h"
#include "memory/private_memory.h"
#include "memory/shared_segment.h"

namespace ce {
namespace {

// Identical in every process and container of a host until it reboots.
std::string HostId() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  file >> id;
  id.resize(8, '0');
  return id;
}

// The read does not track pieces, because host memory needs no pinning.
class PlainRead final : public ReadJob::Listener {
 public:
  explicit PlainRead(Stream::Completion done) : done_(std::move(done)) {}
  void Filled(uint64_t, uint64_t) noexcept override {}
  void Finished(std::optional<Failure> failure) noexcept override { done_(failure); }

 private:
  const Stream::Completion done_;
};

}  // namespace

HostDevice::HostDevice(HostOptions options)
    : options_(std::move(options)),
      copy_pool_(Reaper::Own(std::make_unique<ThreadPool>(options_.threads, "ce-copy"))),
      read_pool_(Reaper::Own(std::make_unique<ThreadPool>(options_.threads, "ce-read"))) {
  SweepSegments(options_.directory);
}

std::string HostDevice::uuid() const { return "HOST-" + HostId() + "-" + std::to_string(options_.index); }

MemoryInfo HostDevice::Info() const {
  struct statvfs info;
  if (::statvfs(options_.directory.c_str(), &info) != 0) {
    throw SystemFailure("CE_SHM_FAILED", "Cannot use " + options_.directory + " for shared memory",
                        "Mount a tmpfs there or use another directory", "statvfs");
  }
  return {static_cast<uint64_t>(info.f_bavail) * info.f_frsize, static_cast<uint64_t>(info.f_blocks) * info.f_frsize};
}

MemoryPtr HostDevice::AllocateShared(size_t size) { return CreateSegment(options_.directory, size); }

MemoryPtr HostDevice::OpenShared(const std::string& handle, size_t size) {
  return OpenSegment(options_.directory, handle, size);
}

MemoryPtr HostDevice::Allocate(size_t size) { return AllocatePrivate(size); }

MemoryPtr HostDevice::AllocateHost(size_t size, bool shared) {
  return shared ? CreateSegment(options_.directory, size) : AllocatePrivate(size);
}

MemoryPtr HostDevice::Map(const std::string& path) { return MapFile(path, FileSharing::kPrivate); }

void HostDevice::Pin(const MemoryPtr&) {}

std::shared_ptr<Stream> HostDevice::CreateStream() { return std::make_shared<HostStream>(copy_pool_); }

std::shared_ptr<ReadJob> HostDevice::Read(MemoryPtr memory, const std::vector<std::string>& paths,
                                          std::vector<ReadRange> ranges, std::shared_ptr<ReadDigest> digest,
                                          Stream::Completion done) {
  auto job = std::make_shared<ReadJob>(std::move(memory), paths, PlanRead(std::move(ranges)),
                                       std::make_shared<PlainRead>(std::move(done)), std::move(digest));
  read_pool_->Submit(job);
  return job;
}

}  // namespace ce
