// A device's context, and permission to call the CUDA driver with it.
#pragma once

#include <memory>

#include "ce/cuda_driver.h"
#include "cuda/driver_gate.h"

namespace ce {

using CudaContextPtr = std::shared_ptr<CudaContext>;

// The primary context of a device, released with its last owner. Throws CE_DEVICE_UNAVAILABLE.
CudaContextPtr RetainContext(int index);

// While it lives, this thread calls the driver with the device's context. Must not be nested.
class CudaSession {
 public:
  // Throws CE_DEVICE_FAILED.
  explicit CudaSession(const CudaContext& context) : pass_(DriverGate::Get().Enter()), driver_(context.driver()) {
    context.Enter();
  }

  const CudaDriver* operator->() const { return &driver_; }
  const CudaDriver& operator*() const { return driver_; }

 private:
  const DriverGate::Pass pass_;
  const CudaDriver& driver_;
};

}  // namespace ce
