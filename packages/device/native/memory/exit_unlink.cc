#include "memory/exit_unlink.h"

#include <unistd.h>

#include <cstdlib>

namespace ce {

ExitUnlink& ExitUnlink::Get() {
  static ExitUnlink* instance = new ExitUnlink();  // Never destroyed: threads may use it during the exit.
  return *instance;
}

ExitUnlink::ExitUnlink() : process_(::getpid()) {
  std::atexit([] { Get().UnlinkAll(); });
}

void ExitUnlink::Add(const std::string& path) {
  std::lock_guard lock(mutex_);
  paths_.insert(path);
}

void ExitUnlink::UnlinkNow(const std::string& path) noexcept {
  std::lock_guard lock(mutex_);
  if (paths_.erase(path) > 0 && process_ == ::getpid()) ::unlink(path.c_str());
}

void ExitUnlink::UnlinkAll() noexcept {
  if (process_ != ::getpid()) return;
  std::lock_guard lock(mutex_);
  for (const std::string& path : paths_) ::unlink(path.c_str());
  paths_.clear();
}

}  // namespace ce
