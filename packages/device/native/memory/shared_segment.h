// POSIX shared memory as files of a directory on tmpfs, normally /dev/shm.
#pragma once

#include <string>
#include <vector>

#include "memory/memory.h"

namespace ce {

// Creates a segment with all of its space reserved. Its handle is its name; closing it unlinks the name.
// Throws CE_SHM_TOO_SMALL, CE_SHM_FAILED, CE_HOST_OUT_OF_MEMORY.
MemoryPtr CreateSegment(const std::string& directory, size_t size);

// Opens a segment that a process of the same user created. Throws CE_SHM_FAILED.
MemoryPtr OpenSegment(const std::string& directory, const std::string& handle, size_t size);

// Unlinks the segments of this user whose creators are gone, and returns their names.
std::vector<std::string> SweepSegments(const std::string& directory);

}  // namespace ce
