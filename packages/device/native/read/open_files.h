// The files of one read: each is opened when its first run is read and closed after its last.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "ce/unique_fd.h"
#include "read/read_plan.h"

namespace ce {

class OpenFiles {
 public:
  OpenFiles(const std::vector<std::string>& paths, const ReadPlan& plan);

  const std::string& path(size_t file) const { return files_[file].path; }
  // Stays open until Release was called for each run of the file. Throws Failure.
  int Acquire(size_t file);
  // The same, bypassing the page cache; negative if that is not possible.
  int AcquireDirect(size_t file);
  // Path of an acquired file.
  dev_t file_system(size_t file) const { return files_[file].file_system; }
  void Release(size_t file);

 private:
  struct File {
    explicit File(const std::string& path) : path(path) {}
    const std::string path;
    std::mutex mutex;
    UniqueFd fd;
    UniqueFd direct;
    dev_t file_system = 0;
    std::atomic<size_t> runs_left{0};
  };
  std::deque<File> files_;
};

}  // namespace ce
