// Keeps threads out of the CUDA driver during the exit of the process: the driver shuts itself down at that point, and
// a call in progress would crash.
#pragma once

#include <atomic>
#include <shared_mutex>

namespace ce {

class DriverGate {
 public:
  using Pass = std::shared_lock<std::shared_timed_mutex>;

  // Registers an exit handler that runs before the driver's own; call it after the driver was initialized.
  static DriverGate& Get();

  // A thread holds it while it calls the driver. During the exit of the process the constructor never returns.
  Pass Enter();

 private:
  DriverGate();
  void CloseForGood() noexcept;

  std::shared_timed_mutex mutex_;
  std::atomic<bool> exiting_{false};
};

}  // namespace ce
