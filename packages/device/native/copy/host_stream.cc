#include "copy/host_stream.h"

#include <system_error>
#include <utility>

#include "copy/host_copy_job.h"

namespace ce {

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
  try {
    self->pool->Submit(std::make_shared<HostCopyJob>(std::move(batch), [self] { Finish(self, std::nullopt); }));
  } catch (const std::system_error& error) {
    Finish(self, ToFailure(error));
  }
}

void HostStream::Queue::Finish(const std::shared_ptr<Queue>& self, const std::optional<Failure>& failure) {
  Completion done;
  {
    std::lock_guard lock(self->mutex);
    done = std::move(self->entries.front().done);
  }
  done(failure);  // Before the entry goes: what is submitted from now on cannot overtake it.
  bool more;
  {
    std::lock_guard lock(self->mutex);
    self->entries.pop_front();
    more = !self->entries.empty();
  }
  if (more) Start(self);
}

}  // namespace ce
