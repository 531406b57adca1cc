#include "nccl_library.h"

#include <memory>
#include <mutex>

namespace ce {

namespace {

// Up to 2.8 NCCL encoded 2.7.8 as 2708; 2.18.5 is 21805.
std::string VersionTextOf(int version) {
  const int major = version < 10000 ? version / 1000 : version / 10000;
  const int minor = version < 10000 ? version / 100 % 10 : version / 100 % 100;
  return std::to_string(major) + '.' + std::to_string(minor) + '.' + std::to_string(version % 100);
}

}  // namespace

const NcclLibrary& NcclLibrary::Open(const std::vector<std::string>& candidates) {
  static std::mutex mutex;
  static NcclLibrary* opened = nullptr;
  std::lock_guard lock(mutex);
  if (opened) return *opened;
  auto nccl = std::make_unique<NcclLibrary>();
  std::string reasons;
  std::string too_old;
  for (const std::string& candidate : candidates) {
    const DynamicLibrary library = DynamicLibrary::Open(nullptr, {candidate.c_str()},
                                                        {
#define CE_BIND(name, symbol, result, parameters) {#symbol, reinterpret_cast<void**>(&nccl->name), true},
                                                            CE_NCCL_FUNCTIONS(CE_BIND)
#undef CE_BIND
                                                        });
    if (library.handle && nccl->GetVersion && nccl->GetVersion(&nccl->version) == kNcclSuccess &&
        nccl->version < kNcclOldestVersion) {
      too_old = library.path + " is NCCL " + VersionTextOf(nccl->version);
      reasons += (reasons.empty() ? "" : "\n") + too_old;
      continue;
    }
    if (library.usable()) {
      nccl->path = library.path;
      opened = nccl.release();
      return *opened;
    }
    reasons += (reasons.empty() ? "" : "\n") + library.reason;
  }
  const std::string hint =
      "Install NCCL 2.18 or later (pip install nvidia-nccl-cu12, or Debian's libnccl2), or set "
      "CHECKPOINT_ENGINE_NCCL_LIB to the path of its libnccl.so.2";
  if (!too_old.empty()) {
    throw Failure("CE_LIBRARY_TOO_OLD", too_old + ", but 2.18 is the oldest supported version", hint)
        .Detail(reasons == too_old ? "" : reasons);
  }
  throw Failure("CE_LIBRARY_NOT_FOUND", "No usable libnccl.so.2 was found", hint).Detail(reasons);
}

std::string NcclLibrary::VersionText() const { return VersionTextOf(version); }

Failure NcclLibrary::FailureOf(ncclResult_t status, const char* operation, ncclComm_t comm) const {
  const char* text = GetErrorString(status);
  const char* last = GetLastError(comm);
  return Failure("CE_TRANSPORT_FAILED", std::string(operation) + " failed: " + (text ? text : "unknown NCCL error"),
                 "Run again with NCCL_DEBUG=INFO and check the log of every rank")
      .From(operation, status)
      .Detail(last ? last : "");
}

}  // namespace ce
