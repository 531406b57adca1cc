#include "cuda/driver_gate.h"

#include <unistd.h>

#include <chrono>
#include <cstdlib>

namespace ce {
namespace {

// For copies in flight; the process exits anyway then.
constexpr std::chrono::seconds kLongestWait{5};

}  // namespace

DriverGate& DriverGate::Get() {
  static DriverGate* instance = new DriverGate();  // Never destroyed: threads use it while the process exits.
  return *instance;
}

DriverGate::DriverGate() {
  std::atexit([] { Get().CloseForGood(); });
}

DriverGate::Pass DriverGate::Enter() {
  while (exiting_) ::pause();
  return Pass(mutex_);
}

void DriverGate::CloseForGood() noexcept {
  exiting_ = true;
  // Not unlocked again.
  if (!mutex_.try_lock_for(kLongestWait)) return;
}

}  // namespace ce
