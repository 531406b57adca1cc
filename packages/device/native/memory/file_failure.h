#pragma once

#include <string>

#include "ce/failure.h"

namespace ce {

// Creates the failure for a failed system call on a file.
Failure FileFailure(const std::string& path, const char* op, int error, const std::string& where = "");

}  // namespace ce
