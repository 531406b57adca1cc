#include "cuda/cuda_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "ce/thread.h"
#include "memory/backing_file.h"

namespace ce {
namespace {

// Calls `copy(from, to, size)` for parts that do not cross a piece boundary of the host memory.
template <class Copy>
void Split(const CopyRange& range, const Memory& host, uint64_t host_address, Copy copy) {
  const size_t piece = host.piece_bytes();
  uint64_t offset = host_address - host.address();
  for (size_t done = 0; done < range.size;) {
    const size_t rest = range.size - done;
    const size_t size = piece == 0 ? rest : std::min<size_t>(rest, piece - offset % piece);
    copy(range.from + done, range.to + done, size);
    done += size;
    offset += size;
  }
}

}  // namespace

CudaStream::CudaStream(CudaContextPtr context) : context_(std::move(context)) {
  {
    const CudaSession cuda(*context_);
    stream_ = CreateCudaStream(*cuda);
  }
  try {
    issuer_ = StartThread("ce-cuda-issue", [this] { SubmitEntries(); });
    waiter_ = StartThread("ce-cuda-wait", [this] { AwaitEntries(); });
  } catch (...) {
    Join();
    throw;
  }
}

void CudaStream::Join() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  submitted_.notify_one();
  if (issuer_.joinable()) issuer_.join();
  if (waiter_.joinable()) waiter_.join();
}

CudaStream::~CudaStream() {
  Join();
  // A context that cannot be entered has already lost its streams.
  const std::optional<Failure> lost = FailureOf([this] {
    const CudaSession cuda(*context_);
    events_.clear();
    stream_.reset();
  });
  if (!lost) return;
  for (UniqueEvent& event : events_) event.release();
  stream_.release();
}

void CudaStream::Submit(CopyBatch batch, Completion done) {
  {
    std::lock_guard lock(mutex_);
    to_issue_.push_back({std::move(batch), std::move(done), nullptr, std::nullopt});
  }
  submitted_.notify_one();
}

void CudaStream::SubmitEntries() {
  std::unique_lock lock(mutex_);
  for (;;) {
    submitted_.wait(lock, [this] { return closing_ || !to_issue_.empty(); });
    if (to_issue_.empty()) break;
    Entry entry = std::move(to_issue_.front());
    to_issue_.pop_front();
    lock.unlock();
    Issue(entry);
    lock.lock();
    to_await_.push_back(std::move(entry));
    issued_.notify_one();
  }
  all_issued_ = true;
  issued_.notify_one();
}

void CudaStream::AwaitEntries() {
  std::unique_lock lock(mutex_);
  for (;;) {
    issued_.wait(lock, [this] { return all_issued_ || !to_await_.empty(); });
    if (to_await_.empty()) return;
    Entry entry = std::move(to_await_.front());
    to_await_.pop_front();
    lock.unlock();
    Await(entry);
    entry.batch = {};  // Releases the memories before the caller learns that the copies are done.
    entry.done(entry.failure);
    entry = {};
    lock.lock();
  }
}

void CudaStream::Issue(Entry& entry) {
  std::optional<Failure> failure = FailureOf([&] {
    const CudaSession cuda(*context_);
    entry.failure = FailureOf([&] {
      for (const CopyRange& range : entry.batch.ranges) IssueRange(cuda, range);
    });
    // After a failure as well: earlier copies are in progress, and the waiter needs their end.
    CUevent event = TakeEvent(cuda);
    cuda->Check(cuda->EventRecord(event, stream_.get()), "cuEventRecord");
    entry.event = event;
  });
  if (!entry.failure) entry.failure = std::move(failure);
}

void CudaStream::IssueRange(const CudaSession& cuda, const CopyRange& range) {
  const bool from_host = range.from_memory->kind() == MemoryKind::kHost;
  const bool to_host = range.to_memory->kind() == MemoryKind::kHost;
  const BackingFile* const file = range.from_memory->file();
  // The driver may copy small ranges with the processor.
  if (file != nullptr) file->CheckSize();
  if (from_host && to_host) {
    cuda->Check(cuda->StreamSynchronize(stream_.get()), "cuStreamSynchronize");
    if (file != nullptr) {
      file->Read(range.from - range.from_memory->address(), reinterpret_cast<uint8_t*>(range.to), range.size);
      return;
    }
    std::memmove(reinterpret_cast<void*>(range.to), reinterpret_cast<const void*>(range.from), range.size);
  } else if (from_host) {
    Split(range, *range.from_memory, range.from, [&](uint64_t from, uint64_t to, size_t size) {
      cuda->Check(cuda->MemcpyHtoDAsync(to, reinterpret_cast<const void*>(from), size, stream_.get()),
                  "cuMemcpyHtoDAsync");
    });
  } else if (to_host) {
    Split(range, *range.to_memory, range.to, [&](uint64_t from, uint64_t to, size_t size) {
      cuda->Check(cuda->MemcpyDtoHAsync(reinterpret_cast<void*>(to), from, size, stream_.get()), "cuMemcpyDtoHAsync");
    });
  } else {
    cuda->Check(cuda->MemcpyDtoDAsync(range.to, range.from, range.size, stream_.get()), "cuMemcpyDtoDAsync");
  }
}

void CudaStream::Await(Entry& entry) {
  std::optional<Failure> failure = FailureOf([&] {
    const CudaSession cuda(*context_);
    const CUresult status = entry.event ? cuda->EventSynchronize(entry.event) : kCudaSuccess;
    if (!entry.event || status != kCudaSuccess) cuda->StreamSynchronize(stream_.get());
    cuda->Check(status, "cuEventSynchronize");
  });
  if (!entry.failure) entry.failure = std::move(failure);
  if (!entry.event) return;
  std::lock_guard lock(mutex_);
  spare_events_.push_back(entry.event);
}

CUevent CudaStream::TakeEvent(const CudaSession& cuda) {
  {
    std::lock_guard lock(mutex_);
    if (!spare_events_.empty()) {
      CUevent event = spare_events_.back();
      spare_events_.pop_back();
      return event;
    }
  }
  // Reserves the place of the event in the spare list, so that returning it cannot fail.
  {
    std::lock_guard lock(mutex_);
    spare_events_.reserve(events_.size() + 1);
  }
  events_.push_back(CreateCudaEvent(*cuda, kEventBlockingSync | kEventDisableTiming));
  return events_.back().get();
}

}  // namespace ce
