#pragma once

#include <string>

#include "memory/memory.h"

namespace ce {

enum class FileSharing {
  kPrivate,        // What is written to the memory never reaches the file.
  kInPlaceOnTmpfs  // On tmpfs the memory is the file's own pages, so that pinning them needs no second copy.
};

// An existing file, not empty, as host memory of its size. It may be unlinked afterwards.
// Throws CE_FILE_NOT_FOUND, CE_FILE_UNREADABLE, CE_FILE_INVALID.
MemoryPtr MapFile(const std::string& path, FileSharing sharing);

}  // namespace ce
