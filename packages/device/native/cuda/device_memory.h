// Memory of a GPU.
#pragma once

#include <string>

#include "cuda/cuda_session.h"
#include "memory/memory.h"

namespace ce {

// Memory for this process alone. Throws CE_DEVICE_OUT_OF_MEMORY.
MemoryPtr AllocateDevice(const CudaContextPtr& context, size_t size);

// A separate allocation with an IPC handle. Throws CE_DEVICE_OUT_OF_MEMORY.
MemoryPtr AllocateExported(const CudaContextPtr& context, size_t size);

// Memory that another process allocated. `handle` has 64 bytes. Throws CE_SHM_FAILED.
MemoryPtr OpenExported(const CudaContextPtr& context, const std::string& handle, size_t size);

}  // namespace ce
