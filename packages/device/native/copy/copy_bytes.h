// Copies between host memories that do not overlap.
#pragma once

#include <cstddef>

namespace ce {

// For small copies: the bytes stay in the caches.
void CopyThroughCache(void* to, const void* from, size_t size);

// For large copies: the bytes bypass the caches if the processor supports it, and the copy does not read memory that it
// overwrites.
void CopyPastCache(void* to, const void* from, size_t size);

}  // namespace ce
