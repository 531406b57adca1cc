// The part of NCCL that this package calls, opened at run time. Declared by hand after nccl.h of 2.18, the oldest
// supported release; later ones keep these functions and read the configuration by its own size and version.
// https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/api.html
#pragma once

#include <climits>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "ce/dynamic_library.h"
#include "ce/failure.h"

namespace ce {

using ncclResult_t = int;
using ncclComm_t = struct ncclComm*;
struct ncclUniqueId {
  char internal[128];
};

constexpr ncclResult_t kNcclSuccess = 0;
constexpr ncclResult_t kNcclSystemError = 2;
constexpr ncclResult_t kNcclRemoteError = 6;
constexpr ncclResult_t kNcclInProgress = 7;
constexpr int kNcclUint8 = 1;
constexpr int kNcclOldestVersion = 21800;

// ncclConfig_t as of 2.18. NCCL copies `size` bytes of it and uses defaults for fields that `version` did not have yet;
// the tail is set to "undefined" because later releases have a field there.
struct ncclConfig {
  size_t size = sizeof(ncclConfig);
  unsigned magic = 0xcafebeef;
  unsigned version = kNcclOldestVersion;
  int blocking = INT_MIN;
  int cgaClusterSize = INT_MIN;
  int minCTAs = INT_MIN;
  int maxCTAs = INT_MIN;
  const char* netName = nullptr;
  int splitShare = INT_MIN;
  int tail = INT_MIN;
};
static_assert(sizeof(ncclConfig) == 48 && offsetof(ncclConfig, netName) == 32, "as nccl.h of 2.18 has it");

#define CE_NCCL_FUNCTIONS(X)                                                                                          \
  X(GetVersion, ncclGetVersion, ncclResult_t, (int* version))                                                         \
  X(GetUniqueId, ncclGetUniqueId, ncclResult_t, (ncclUniqueId * id))                                                  \
  X(CommInitRankConfig, ncclCommInitRankConfig, ncclResult_t,                                                         \
    (ncclComm_t * comm, int ranks, ncclUniqueId id, int rank, ncclConfig* config))                                    \
  X(CommGetAsyncError, ncclCommGetAsyncError, ncclResult_t, (ncclComm_t comm, ncclResult_t * error))                  \
  X(CommFinalize, ncclCommFinalize, ncclResult_t, (ncclComm_t comm))                                                  \
  X(CommDestroy, ncclCommDestroy, ncclResult_t, (ncclComm_t comm))                                                    \
  X(CommAbort, ncclCommAbort, ncclResult_t, (ncclComm_t comm))                                                        \
  X(Broadcast, ncclBroadcast, ncclResult_t,                                                                           \
    (const void* send, void* receive, size_t count, int type, int root, ncclComm_t comm, struct CUstream_st* stream)) \
  X(GetErrorString, ncclGetErrorString, const char*, (ncclResult_t result))                                           \
  X(GetLastError, ncclGetLastError, const char*, (ncclComm_t comm))

struct NcclLibrary {
#define CE_DECLARE(name, symbol, result, parameters) result(*name) parameters = nullptr;
  CE_NCCL_FUNCTIONS(CE_DECLARE)
#undef CE_DECLARE
  std::string path;
  int version = 0;

  // Opens the first file that exists and is new enough. Runs once per process: later calls return the same library.
  // Throws `CE_LIBRARY_NOT_FOUND` with the loader's message for every candidate, or `CE_LIBRARY_TOO_OLD`.
  static const NcclLibrary& Open(const std::vector<std::string>& candidates);

  // The version as text, such as "2.28.9".
  std::string VersionText() const;

  // Creates the failure for a failed call, with NCCL's last error text.
  Failure FailureOf(ncclResult_t status, const char* operation, ncclComm_t comm) const;
};

}  // namespace ce
