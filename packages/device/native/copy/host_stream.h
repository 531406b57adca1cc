// Copies between host memories by a thread pool.
#pragma once

#include <deque>
#include <memory>
#include <mutex>

#include "ce/thread_pool.h"
#include "copy/stream.h"

namespace ce {

class HostStream final : public Stream {
 public:
  explicit HostStream(std::shared_ptr<ThreadPool> pool) : queue_(std::make_shared<Queue>(std::move(pool))) {}

  void Submit(CopyBatch batch, Completion done) override { Queue::Submit(queue_, std::move(batch), std::move(done)); }

 private:
  // Outlives the stream until its last batch is done.
  struct Queue {
    explicit Queue(std::shared_ptr<ThreadPool> pool) : pool(std::move(pool)) {}

    static void Submit(const std::shared_ptr<Queue>& self, CopyBatch batch, Completion done);
    static void Start(const std::shared_ptr<Queue>& self);
    static void Copy(const std::shared_ptr<Queue>& self, CopyBatch batch);
    static void Finish(const std::shared_ptr<Queue>& self, const std::optional<Failure>& failure);

    // A job that cannot be submitted fails its entry.
    template <class Function>
    static void Try(const std::shared_ptr<Queue>& self, Function submit);

    struct Entry {
      CopyBatch batch;
      Completion done;
    };
    const std::shared_ptr<ThreadPool> pool;
    std::mutex mutex;
    std::deque<Entry> entries;  // The first one is in progress.
  };

  const std::shared_ptr<Queue> queue_;
};

}  // namespace ce
