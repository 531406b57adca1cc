// CUDA streams and events that free themselves.
#pragma once

#include <memory>

#include "ce/cuda_driver.h"

namespace ce {

struct DestroyStream {
  using pointer = CUstream;
  void operator()(CUstream stream) const noexcept { CudaDriver::Get().StreamDestroy(stream); }
};
struct DestroyEvent {
  using pointer = CUevent;
  void operator()(CUevent event) const noexcept { CudaDriver::Get().EventDestroy(event); }
};

// Must be destroyed while their context is retained, and current on the destroying thread. A lost context has
// already lost them: the driver refuses, and nothing happens.
using UniqueStream = std::unique_ptr<CUstream, DestroyStream>;
using UniqueEvent = std::unique_ptr<CUevent, DestroyEvent>;

inline UniqueStream CreateCudaStream(const CudaDriver& driver) {
  CUstream stream = nullptr;
  driver.Check(driver.StreamCreate(&stream, kStreamNonBlocking), "cuStreamCreate");
  return UniqueStream(stream);
}

inline UniqueEvent CreateCudaEvent(const CudaDriver& driver, unsigned flags) {
  CUevent event = nullptr;
  driver.Check(driver.EventCreate(&event, flags), "cuEventCreate");
  return UniqueEvent(event);
}

}  // namespace ce
