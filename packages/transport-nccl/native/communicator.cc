#include "communicator.h"

#include <utility>
#include <vector>

#include "ce/cuda_handles.h"
#include "ce/thread.h"
#include "live_threads.h"

namespace ce {

namespace {

using Clock = std::chrono::steady_clock;

// Interval of the thread's checks of events and asynchronous errors while a call is pending: far less than the
// milliseconds that a bucket takes, but long enough not to occupy a core.
constexpr auto kPollInterval = std::chrono::microseconds(30);
constexpr auto kFinalizeTimeout = std::chrono::seconds(10);

struct BroadcastCall {
  uint64_t send;
  uint64_t receive;
  size_t bytes;
  int root;
  Settler done;
};

struct Pending {
  UniqueEvent event;
  Settler done;
};

// Aborts the communicator: kernels that wait for a peer return, and all its resources are freed.
struct AbortComm {
  using pointer = ncclComm_t;
  const NcclLibrary* nccl;
  void operator()(ncclComm_t comm) const noexcept { nccl->CommAbort(comm); }
};
using UniqueComm = std::unique_ptr<ncclComm_t, AbortComm>;

Failure Aborted() {
  return Failure("CE_ABORTED", "The NCCL communicator was aborted", "Join a new group for the next update");
}

}  // namespace

class Communicator::Shared {
 public:
  Shared(const NcclLibrary& nccl, const Options& options)
      : nccl_(nccl), options_(options), comm_(nullptr, AbortComm{&nccl}) {}

  void Submit(BroadcastCall broadcast) {
    std::unique_lock lock(mutex_);
    if (ended_) {
      lock.unlock();
      broadcast.done.Reject(Aborted());
      return;
    }
    queue_.push_back(std::move(broadcast));
    wake_.notify_one();
  }

  void Abort() {
    std::lock_guard lock(mutex_);
    aborting_ = true;
    wake_.notify_one();
  }

  void Close(Settler done) {
    std::unique_lock lock(mutex_);
    if (ended_) {
      lock.unlock();
      done.Resolve(Nothing());
      return;
    }
    closers_.push_back(std::move(done));
    wake_.notify_one();
  }

  // The main function of the thread: joins, works, leaves.
  void Run(const Settler& ready) noexcept {
    const LiveThreads<Shared>::Entry live(*this);
    try {
      context_ = std::make_unique<CudaContext>(options_.device);
      context_->Enter();
      stream_ = CreateCudaStream(cuda());
      Join();
      ready.Resolve(Nothing());
      Work();
      Leave();
    } catch (const Failure& failure) {
      Fail(ready, failure);
    } catch (const std::exception& error) {
      Fail(ready, ToFailure(error));
    }
  }

  // The thread could not be started.
  void Fail(const Settler& ready, const Failure& failure) noexcept {
    Drop();
    ready.Reject(failure);  // Does nothing if the ranks have already joined.
    End(failure);
  }

 private:
  const CudaDriver& cuda() const { return context_->driver(); }

  bool aborting() {
    std::lock_guard lock(mutex_);
    return aborting_;
  }

  // Waits until NCCL has completed a non-blocking call.
  void Settle(ncclResult_t status, const char* operation, Clock::time_point deadline) {
    while (status == kNcclInProgress) {
      if (aborting()) throw Aborted();
      if (Clock::now() > deadline) {
        throw Failure("CE_TIMEOUT", std::string(operation) + " of rank " + std::to_string(options_.rank) + " timed out",
                      "Check that every rank has reached this point, and the network interface that NCCL uses "
                      "(NCCL_SOCKET_IFNAME, NCCL_DEBUG=INFO)")
            .From(operation, status);
      }
      std::this_thread::sleep_for(kPollInterval);
      ncclResult_t query = nccl_.CommGetAsyncError(comm_.get(), &status);
      if (query != kNcclSuccess) throw nccl_.FailureOf(query, operation, comm_.get());
    }
    if (status != kNcclSuccess) throw nccl_.FailureOf(status, operation, comm_.get());
  }

  void Join() {
    ncclConfig config;
    config.blocking = 0;
    ncclComm_t comm = nullptr;
    const ncclResult_t status = nccl_.CommInitRankConfig(&comm, options_.size, options_.id, options_.rank, &config);
    comm_.reset(comm);
    Settle(status, "ncclCommInitRankConfig", Clock::now() + options_.timeout);
  }

  void Work() {
    for (;;) {
      std::optional<BroadcastCall> next;
      {
        std::unique_lock lock(mutex_);
        const auto has_work = [this] { return aborting_ || !queue_.empty() || !closers_.empty(); };
        if (pending_.empty()) {
          wake_.wait(lock, has_work);
        } else if (queue_.empty()) {
          wake_.wait_for(lock, kPollInterval, [this] { return aborting_ || !queue_.empty(); });
        }
        if (aborting_) throw Aborted();
        if (!queue_.empty()) {
          next.emplace(std::move(queue_.front()));
          queue_.pop_front();
        } else if (pending_.empty() && !closers_.empty()) {
          return;
        }
      }
      if (next) Issue(*next);
      Collect();
    }
  }

  void Issue(const BroadcastCall& broadcast) {
    // From here on the list owns the settler: a failure below rejects it together with all others.
    Pending& pending = pending_.emplace_back(Pending{nullptr, broadcast.done});
    pending.event = TakeEvent();
    const ncclResult_t status =
        nccl_.Broadcast(reinterpret_cast<const void*>(broadcast.send), reinterpret_cast<void*>(broadcast.receive),
                        broadcast.bytes, kNcclUint8, broadcast.root, comm_.get(), stream_.get());
    Settle(status, "ncclBroadcast", Clock::now() + options_.timeout);
    cuda().Check(cuda().EventRecord(pending.event.get(), stream_.get()), "cuEventRecord");
  }

  // Settles completed broadcasts in order, and checks the pending ones for errors.
  void Collect() {
    while (!pending_.empty()) {
      const CUresult state = cuda().EventQuery(pending_.front().event.get());
      if (state == kCudaNotReady) {
        ncclResult_t error = kNcclSuccess;
        const ncclResult_t query = nccl_.CommGetAsyncError(comm_.get(), &error);
        if (query != kNcclSuccess) throw nccl_.FailureOf(query, "ncclCommGetAsyncError", comm_.get());
        if (error != kNcclSuccess && error != kNcclInProgress)
          throw nccl_.FailureOf(error, "ncclBroadcast", comm_.get());
        return;
      }
      cuda().Check(state, "cuEventQuery");
      spare_events_.push_back(std::move(pending_.front().event));
      pending_.front().done.Resolve(Nothing());
      pending_.pop_front();
    }
  }

  UniqueEvent TakeEvent() {
    if (spare_events_.empty()) return CreateCudaEvent(cuda(), kEventDisableTiming);
    UniqueEvent event = std::move(spare_events_.back());
    spare_events_.pop_back();
    return event;
  }

  // The regular end: nothing is pending, and every member leaves.
  void Leave() {
    Settle(nccl_.CommFinalize(comm_.get()), "ncclCommFinalize", Clock::now() + kFinalizeTimeout);
    nccl_.CommDestroy(comm_.release());
    Free();
    End(Failure("CE_CLOSED", "The NCCL communicator is closed", "Join a new group"));
  }

  // The end after a failure: the abort makes kernels that wait for a peer return.
  void Drop() noexcept {
    comm_.reset();
    if (stream_) cuda().StreamSynchronize(stream_.get());
    Free();
  }

  // Releases CUDA resources while the context is retained and current.
  void Free() noexcept {
    for (Pending& pending : pending_) pending.event.reset();
    spare_events_.clear();
    stream_.reset();
    context_.reset();
  }

  // Settles all pending calls. Later calls find that the communicator has ended.
  void End(const Failure& failure) noexcept {
    std::deque<BroadcastCall> queue;
    std::vector<Settler> closers;
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
      queue.swap(queue_);
      closers.swap(closers_);
    }
    for (const Pending& pending : pending_) pending.done.Reject(failure);
    pending_.clear();
    for (const BroadcastCall& broadcast : queue) broadcast.done.Reject(failure);
    for (const Settler& closer : closers) closer.Resolve(Nothing());
  }

  const NcclLibrary& nccl_;
  const Options options_;
  std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_.
  std::deque<BroadcastCall> queue_;
  std::vector<Settler> closers_;
  bool aborting_ = false;
  bool ended_ = false;
  // Used by the thread only. Destroyed from the last to the first: events, communicator, stream, and then the context
  // of all of them.
  std::unique_ptr<CudaContext> context_;
  UniqueStream stream_;
  UniqueComm comm_;
  std::deque<Pending> pending_;
  std::vector<UniqueEvent> spare_events_;
};

Communicator::Communicator(const NcclLibrary& nccl, const Options& options, const Settler& ready)
    : shared_(std::make_shared<Shared>(nccl, options)) {
  try {
    StartThread("ce-nccl", [shared = shared_, ready] { shared->Run(ready); }).detach();
  } catch (const std::exception& error) {
    shared_->Fail(ready, ToFailure(error));
  }
}

Communicator::~Communicator() { shared_->Abort(); }

void Communicator::Broadcast(uint64_t send, uint64_t receive, size_t bytes, int root, Settler done) {
  shared_->Submit({send, receive, bytes, root, std::move(done)});
}

void Communicator::Abort() { shared_->Abort(); }

void Communicator::Close(Settler done) { shared_->Close(std::move(done)); }

}  // namespace ce
