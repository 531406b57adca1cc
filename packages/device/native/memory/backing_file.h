// The open file behind a memory that maps it. Others may shorten or rewrite such a file at any time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "ce/unique_fd.h"

namespace ce {

// What tells one version of a file from another.
struct FileState {
  uint64_t device;
  uint64_t inode;
  uint64_t size;
  int64_t modified_ns;
  int64_t changed_ns;
  uint64_t links;
};

class BackingFile {
 public:
  BackingFile(UniqueFd fd, std::string path, size_t size)
      : fd_(std::move(fd)), path_(std::move(path)), size_(size) {}

  // Of the file that was opened, whatever its name belongs to by now. Throws CE_FILE_UNREADABLE.
  FileState State() const;
  // Throws CE_FILE_CHANGED when the file has become shorter than the memory: touching the rest would end the process.
  void CheckSize() const;
  // Copies bytes of the file. A file that has become shorter fails the read instead of the process.
  // Throws CE_FILE_CHANGED, CE_FILE_UNREADABLE.
  void Read(uint64_t offset, uint8_t* to, size_t size) const;

 private:
  [[noreturn]] void FailShortened(uint64_t end) const;

  const UniqueFd fd_;
  const std::string path_;
  const size_t size_;
};

}  // namespace ce
