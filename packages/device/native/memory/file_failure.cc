#include "memory/file_failure.h"

namespace ce {

Failure FileFailure(const std::string& path, const char* op, int error, const std::string& where) {
  const std::string what = path + where;
  if (error == ENOENT || error == ENOTDIR) {
    return SystemFailure("CE_FILE_NOT_FOUND", "Cannot find " + what, "Check the path", op, error).File(path);
  }
  const char* hint = error == EACCES || error == EPERM    ? "Give this user permission to read the file"
                     : error == EMFILE || error == ENFILE ? "Raise the limit of open files (ulimit -n)"
                                                          : "Check the file system and its log";
  return SystemFailure("CE_FILE_UNREADABLE", "Cannot read " + what, hint, op, error).File(path);
}

}  // namespace ce
