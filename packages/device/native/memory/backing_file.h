// The open file behind a memory that maps it. Other processes may truncate or rewrite such a file at any time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "ce/unique_fd.h"

namespace ce {

// Identifies a version of a file.
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
  BackingFile(UniqueFd fd, std::string path, size_t size) : fd_(std::move(fd)), path_(std::move(path)), size_(size) {}

  // The state of the opened file, whichever file has its name now. Throws CE_FILE_UNREADABLE.
  FileState State() const;
  // Throws CE_FILE_CHANGED if the file has become shorter than the memory: touching the rest would end the process.
  void CheckSize() const;
  // Copies bytes of the file. If the file has become shorter, the read fails, but the process continues.
  // Throws CE_FILE_CHANGED, CE_FILE_UNREADABLE.
  void Read(uint64_t offset, uint8_t* to, size_t size) const;

 private:
  [[noreturn]] void FailShortened(uint64_t end) const;

  const UniqueFd fd_;
  const std::string path_;
  const size_t size_;
};

}  // namespace ce
