// Unlinks files when the process exits in an orderly way and their owners have not.
#pragma once

#include <mutex>
#include <set>
#include <string>

namespace ce {

class ExitUnlink {
 public:
  static ExitUnlink& Get();

  void Add(const std::string& path);
  // Unlinks the file immediately. Must be called once.
  void UnlinkNow(const std::string& path) noexcept;

 private:
  ExitUnlink();
  void UnlinkAll() noexcept;

  const int process_;  // A forked child does not unlink the files.
  std::mutex mutex_;
  std::set<std::string> paths_;
};

}  // namespace ce
