// Copies between host memories that do not overlap.
#pragma once

#include <cstddef>

namespace ce {

// For a few bytes: they stay in the caches.
void CopyThroughCache(void* to, const void* from, size_t size);

// For many: they go to memory past the caches, where the processor can, and nothing is read first of what
// is overwritten.
void CopyPastCache(void* to, const void* from, size_t size);

}  // namespace ce
