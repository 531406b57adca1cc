// Unlinks files when the process exits in an orderly way without their owners' doing.
#pragma once

#include <mutex>
#include <set>
#include <string>

namespace ce {

class ExitUnlink {
 public:
  static ExitUnlink& Get();

  void Add(const std::string& path);
  // Unlinks the file now, once.
  void UnlinkNow(const std::string& path) noexcept;

 private:
  ExitUnlink();
  void UnlinkAll() noexcept;

  const int process_;  // A forked child leaves the files alone.
  std::mutex mutex_;
  std::set<std::string> paths_;
};

}  // namespace ce
