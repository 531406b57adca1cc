#pragma once

#include "memory/memory.h"

namespace ce {

// Host memory for this process alone, aligned to huge pages and backed by them if the system provides them.
// Throws CE_HOST_OUT_OF_MEMORY.
MemoryPtr AllocatePrivate(size_t size);

}  // namespace ce
