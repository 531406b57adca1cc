#include "memory/segment_name.h"

#include <sys/random.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "ce/failure.h"

namespace ce {
namespace {

constexpr char kPrefix[] = "checkpoint-engine-";

std::optional<uint64_t> StartOf(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  // The second field is the program's name in parentheses and may contain anything; the start time is the 22nd.
  const size_t end_of_name = text.rfind(')');
  if (end_of_name == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(end_of_name + 1));
  std::string skipped;
  for (int field = 3; field < 22; field++) fields >> skipped;
  uint64_t start;
  if (fields >> start) return start;
  return std::nullopt;
}

}  // namespace

SegmentName SegmentName::Make() {
  uint64_t number = 0;
  if (::getrandom(&number, sizeof number, 0) != sizeof number) {
    throw SystemFailure("CE_SHM_FAILED", "The system cannot provide random bytes", "Check the kernel log", "getrandom");
  }
  SegmentName name{::geteuid(), ::getpid(), StartOf(::getpid()).value_or(0), {}};
  char text[128];
  std::snprintf(text, sizeof text, "%s%u-%d-%" PRIu64 "-%016" PRIx64, kPrefix, name.user, name.process,
                name.process_start, number);
  name.text = text;
  return name;
}

std::optional<SegmentName> SegmentName::Parse(const std::string& text) {
  SegmentName name{};
  uint64_t number = 0;
  int used = 0;
  const std::string pattern = std::string(kPrefix) + "%u-%d-%" SCNu64 "-%16" SCNx64 "%n";
  if (std::sscanf(text.c_str(), pattern.c_str(), &name.user, &name.process, &name.process_start, &number, &used) != 4 ||
      static_cast<size_t>(used) != text.size()) {
    return std::nullopt;
  }
  name.text = text;
  return name;
}

bool SegmentName::ProcessRuns() const { return StartOf(process) == process_start; }

}  // namespace ce
