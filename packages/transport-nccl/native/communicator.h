// One NCCL communicator and the thread that makes all of its calls.
#pragma once

#include <napi.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "ce/cuda_driver.h"
#include "ce/settler.h"
#include "nccl_library.h"

namespace ce {

// The communicator is non-blocking, so its thread never blocks inside NCCL: it issues broadcasts on a separate
// stream, watches their events, polls for asynchronous errors meanwhile, and can abort at any time.
//
// JavaScript holds a Communicator; the thread keeps the shared part alive until it has ended. Dropping the last
// Communicator without Close aborts.
class Communicator {
 public:
  static constexpr napi_type_tag kTypeTag = {0x8d3f5a0c61b74e29, 0xb2c94f7e10d5a683};
  static constexpr const char* kTypeName = "communicator";

  struct Options {
    int device;
    int rank;
    int size;
    ncclUniqueId id;
    std::chrono::milliseconds timeout;
  };

  // Settles `ready` when all members have joined, or the time-out has passed.
  Communicator(const NcclLibrary& nccl, const Options& options, const Settler& ready);
  ~Communicator();
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  // Broadcasts take effect in the order of these calls.
  void Broadcast(uint64_t send, uint64_t receive, size_t bytes, int root, Settler done);
  // Aborts pending calls immediately, on the communicator's thread. Idempotent.
  void Abort();
  // Finishes pending calls, then leaves. Resolves `done` when everything is released.
  void Close(Settler done);

 private:
  class Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace ce
