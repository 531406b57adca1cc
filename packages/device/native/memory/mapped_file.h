#pragma once

#include <string>

#include "memory/memory.h"

namespace ce {

enum class FileSharing {
  kPrivate,        // Writes to the memory never reach the file.
  kInPlaceOnTmpfs  // On tmpfs the memory consists of the file's own pages, so that pinning needs no second copy.
};

// Maps an existing file, not empty, as host memory of its size. The caller may unlink the file afterwards.
// Throws CE_FILE_NOT_FOUND, CE_FILE_UNREADABLE, CE_FILE_INVALID.
MemoryPtr MapFile(const std::string& path, FileSharing sharing);

}  // namespace ce
