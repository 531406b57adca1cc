// Keeps threads out of the CUDA driver while the process exits: the driver takes itself apart then, and a call that is
// under way would crash.
#pragma once

#include <atomic>
#include <shared_mutex>

namespace ce {

class DriverGate {
 public:
  using Pass = std::shared_lock<std::shared_timed_mutex>;

  // Installs itself to run before the driver's own exit handlers; call it after the driver was initialised.
  static DriverGate& Get();

  // Held while a thread calls the driver. When the process exits it never returns.
  Pass Enter();

 private:
  DriverGate();
  void CloseForGood() noexcept;

  std::shared_timed_mutex mutex_;
  std::atomic<bool> exiting_{false};
};

}  // namespace ce
