#include "memory/available_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

#include "ce/failure.h"

namespace ce {
namespace {

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

std::optional<uint64_t> ReadNumber(const std::string& path) {
  std::ifstream file(path);
  uint64_t value;
  if (file >> value) return value;
  return std::nullopt;  // The file is missing, or contains "max".
}

// Returns the number after `key` in a file of lines "key number ...".
std::optional<uint64_t> ReadField(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string name;
  while (file >> name) {
    uint64_t value;
    if (name == key && file >> value) return value;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return std::nullopt;
}

struct CgroupFiles {
  const char* limit;
  const char* usage;
  const char* reclaimable[2];  // Fields of memory.stat: file pages, which the kernel drops before it refuses memory.
};
constexpr CgroupFiles kVersion1{
    "/memory.limit_in_bytes", "/memory.usage_in_bytes", {"total_inactive_file", "total_active_file"}};
constexpr CgroupFiles kVersion2{"/memory.max", "/memory.current", {"inactive_file", "active_file"}};

uint64_t LeftInCgroup(const std::string& folder, const CgroupFiles& files) {
  const auto limit = ReadNumber(folder + files.limit);
  const auto usage = ReadNumber(folder + files.usage);
  if (!limit || !usage) return kUnlimited;
  uint64_t reclaimable = 0;
  for (const char* field : files.reclaimable) reclaimable += ReadField(folder + "/memory.stat", field).value_or(0);
  const uint64_t used = *usage - std::min(*usage, reclaimable);
  return *limit - std::min(*limit, used);
}

// The minimum of the memory left in the cgroup at `path` and in its ancestors.
uint64_t LeftInCgroups(const std::string& root, std::string path, const CgroupFiles& files) {
  uint64_t left = LeftInCgroup(root, files);
  while (path.size() > 1) {
    left = std::min(left, LeftInCgroup(root + path, files));
    path.resize(path.rfind('/'));
  }
  return left;
}

uint64_t LeftInContainer() {
  uint64_t left = kUnlimited;
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // hierarchy:controllers:path
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      left = std::min(left, LeftInCgroups("/sys/fs/cgroup", path, kVersion2));
    } else if (("," + controllers + ",").find(",memory,") != std::string::npos) {
      left = std::min(left, LeftInCgroups("/sys/fs/cgroup/memory", path, kVersion1));
    }
  }
  return left;
}

}  // namespace

uint64_t AvailableMemoryBytes() {
  const uint64_t system_kib = ReadField("/proc/meminfo", "MemAvailable:").value_or(kUnlimited / 1024);
  return std::min(system_kib * 1024, LeftInContainer());
}

void CheckAvailableMemory(size_t size) {
  const uint64_t available = AvailableMemoryBytes();
  if (size <= available) return;
  throw Failure("CE_HOST_OUT_OF_MEMORY",
                "Host memory of " + std::to_string(size) + " bytes was requested, but " + std::to_string(available) +
                    " bytes are available",
                "Free host memory, raise the container's limit, or spread the checkpoint over more hosts");
}

}  // namespace ce
