#include "cuda/driver_gate.h"

#include <unistd.h>

#include <chrono>
#include <cstdlib>

namespace ce {
namespace {

// Time limit for copies in flight; the process exits after it in any case.
constexpr std::chrono::seconds kLongestWait{5};

}  // namespace

DriverGate& DriverGate::Get() {
  static DriverGate* instance = new DriverGate();  // Never destroyed: threads use it during the exit of the process.
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
  // Stays locked.
  if (!mutex_.try_lock_for(kLongestWait)) return;
}

}  // namespace ce
