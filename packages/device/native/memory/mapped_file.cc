#include "memory/mapped_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <utility>

#include "ce/mapping.h"
#include "ce/reaper.h"
#include "ce/unique_fd.h"
#include "memory/backing_file.h"
#include "memory/file_failure.h"

namespace ce {
namespace {

class MappedFile final : public Memory {
 public:
  MappedFile(Mapping mapping, size_t size, UniqueFd fd, const std::string& path)
      : Memory(MemoryKind::kHost, reinterpret_cast<uint64_t>(mapping.data()), size),
        mapping_(std::move(mapping)),
        file_(std::move(fd), path, size) {}

  const BackingFile* file() const override { return &file_; }

 private:
  const Mapping mapping_;
  const BackingFile file_;
};

bool IsOnTmpfs(const UniqueFd& fd) {
  struct statfs info;
  return ::fstatfs(fd.get(), &info) == 0 && info.f_type == TMPFS_MAGIC;
}

}  // namespace

MemoryPtr MapFile(const std::string& path, FileSharing sharing) {
  bool shared = sharing == FileSharing::kInPlaceOnTmpfs;
  UniqueFd fd(shared ? ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK) : -1);
  shared = fd && IsOnTmpfs(fd);
  if (!shared) fd = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) throw FileFailure(path, "open", errno);
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) throw FileFailure(path, "fstat", errno);
  if (!S_ISREG(info.st_mode) || info.st_size == 0) {
    throw Failure("CE_FILE_INVALID", "Cannot map " + path + ": it is empty or not a regular file",
                  "Pass a file that holds tensors")
        .File(path);
  }
  const auto size = static_cast<size_t>(info.st_size);
  Mapping mapping = Mapping::Map(size, PROT_READ | PROT_WRITE, shared ? MAP_SHARED : MAP_PRIVATE, fd.get());
  if (!mapping) throw FileFailure(path, "mmap", errno);
  return Reaper::Own<Memory>(std::make_unique<MappedFile>(std::move(mapping), size, std::move(fd), path));
}

}  // namespace ce
