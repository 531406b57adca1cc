#include "read/open_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "memory/file_failure.h"

namespace ce {

OpenFiles::OpenFiles(const std::vector<std::string>& paths, const ReadPlan& plan) {
  for (const std::string& path : paths) files_.emplace_back(path);
  for (const ReadRun& run : plan.runs) files_[plan.ranges[run.begin].file].runs_left++;
}

int OpenFiles::Acquire(size_t index) {
  File& file = files_[index];
  std::lock_guard lock(file.mutex);
  if (file.fd) return file.fd.get();
  UniqueFd fd(::open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) throw FileFailure(file.path, "open", errno);
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) throw FileFailure(file.path, "fstat", errno);
  if (!S_ISREG(info.st_mode)) throw FileFailure(file.path, "open", S_ISDIR(info.st_mode) ? EISDIR : EINVAL);
  file.file_system = info.st_dev;
  file.fd = std::move(fd);
  return file.fd.get();
}

int OpenFiles::AcquireDirect(size_t index) {
  File& file = files_[index];
  std::lock_guard lock(file.mutex);
  if (!file.direct) file.direct = UniqueFd(::open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT));
  return file.direct.get();
}

void OpenFiles::Release(size_t index) {
  File& file = files_[index];
  if (--file.runs_left > 0) return;
  file.fd.Close();
  file.direct.Close();
}

}  // namespace ce
