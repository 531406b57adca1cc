#pragma once

#include <cstddef>
#include <cstdint>

namespace ce {

// Bytes that this process can still allocate before the system, or its container, is out of memory.
uint64_t AvailableMemoryBytes();

// Throws CE_HOST_OUT_OF_MEMORY if less than `size` is available: the kernel would kill a process instead.
void CheckAvailableMemory(size_t size);

}  // namespace ce
