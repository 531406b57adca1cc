// Copies between host and GPU, in the order of a CUDA stream.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "ce/cuda_handles.h"
#include "copy/stream.h"
#include "cuda/cuda_session.h"

namespace ce {

// One thread submits, because the driver may block (pageable memory, full queues); another waits for the events, so
// that it settles a promise as soon as its copies are done. Owned through Reaper::Own, because the destructor joins
// both.
class CudaStream final : public Stream {
 public:
  explicit CudaStream(CudaContextPtr context);
  ~CudaStream() override;

  void Submit(CopyBatch batch, Completion done) override;

 private:
  struct Entry {
    CopyBatch batch;
    Completion done;
    CUevent event = nullptr;  // Null if no event could be recorded after the copies.
    std::optional<Failure> failure;
  };

  void Join();
  void SubmitEntries();
  void AwaitEntries();
  void Issue(Entry& entry);
  void IssueRange(const CudaSession& cuda, const CopyRange& range);
  void Await(Entry& entry);
  CUevent TakeEvent(const CudaSession& cuda);

  // Destroyed from the last to the first, after the threads are joined: events and stream before their context.
  const CudaContextPtr context_;
  UniqueStream stream_;
  std::mutex mutex_;
  std::condition_variable submitted_;
  std::condition_variable issued_;
  std::deque<Entry> to_issue_;
  std::deque<Entry> to_await_;
  std::vector<UniqueEvent> events_;    // All events that the issuing thread created.
  std::vector<CUevent> spare_events_;  // The events that are not in use.
  bool closing_ = false;
  bool all_issued_ = false;
  std::thread issuer_;
  std::thread waiter_;
};

}  // namespace ce
