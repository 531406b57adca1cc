// The IPC handles that this process exported: it cannot open them itself, and the driver's error does not mention this.
#pragma once

#include <mutex>
#include <set>
#include <string>

namespace ce {

class ExportedHandles {
 public:
  static ExportedHandles& Get() {
    static ExportedHandles* instance = new ExportedHandles();
    return *instance;
  }

  void Add(const std::string& handle) {
    std::lock_guard lock(mutex_);
    handles_.insert(handle);
  }
  void Remove(const std::string& handle) {
    std::lock_guard lock(mutex_);
    handles_.erase(handle);
  }
  bool Has(const std::string& handle) {
    std::lock_guard lock(mutex_);
    return handles_.count(handle) > 0;
  }

 private:
  std::mutex mutex_;
  std::set<std::string> handles_;
};

}  // namespace ce
