#include "copy/host_stream.h"

#include <exception>
#include <utility>

#include "ce/call_job.h"
#include "copy/host_copy_job.h"

namespace ce {
namespace {

// The JavaScript thread divides this many ranges into pieces within microseconds; the pool divides larger batches.
constexpr size_t kMaxPlannedByCaller = 256;

}  // namespace

void HostStream::Queue::Submit(const std::shared_ptr<Queue>& self, CopyBatch batch, Completion done) {
  {
    std::lock_guard lock(self->mutex);
    self->entries.push_back({std::move(batch), std::move(done)});
    if (self->entries.size() > 1) return;
  }
  Start(self);
}

void HostStream::Queue::Start(const std::shared_ptr<Queue>& self) {
  CopyBatch batch;
  {
    std::lock_guard lock(self->mutex);
    batch = std::move(self->entries.front().batch);
  }
  if (batch.ranges.size() <= kMaxPlannedByCaller) return Copy(self, std::move(batch));
  auto shared = std::make_shared<CopyBatch>(std::move(batch));
  Try(self, [&] { self->pool->Submit(std::make_shared<CallJob>([self, shared] { Copy(self, std::move(*shared)); })); });
}

void HostStream::Queue::Copy(const std::shared_ptr<Queue>& self, CopyBatch batch) {
  Try(self, [&] {
    self->pool->Submit(std::make_shared<HostCopyJob>(
        std::move(batch), [self](const std::optional<Failure>& failure) { Finish(self, failure); }));
  });
}

template <class Function>
void HostStream::Queue::Try(const std::shared_ptr<Queue>& self, Function submit) {
  try {
    submit();
  } catch (const std::exception& error) {
    Finish(self, ToFailure(error));
  }
}

void HostStream::Queue::Finish(const std::shared_ptr<Queue>& self, const std::optional<Failure>& failure) {
  Completion done;
  {
    std::lock_guard lock(self->mutex);
    done = std::move(self->entries.front().done);
  }
  done(failure);  // Before the entry is removed, so that later batches cannot overtake it.
  bool more;
  {
    std::lock_guard lock(self->mutex);
    self->entries.pop_front();
    more = !self->entries.empty();
  }
  if (more) Start(self);
}

}  // namespace ce
