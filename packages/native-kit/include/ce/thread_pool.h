// Threads that work on jobs piece by piece. Concurrent jobs take turns, so that a small job never waits for
// a large one to finish.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "ce/thread.h"

namespace ce {

// Work in pieces that may run at the same time, on any thread, in roughly ascending order.
class Job {
 public:
  virtual ~Job() = default;
  // At least 1.
  virtual size_t pieces() const = 0;
  virtual void Run(size_t piece) noexcept = 0;
  // Called once, after the last piece.
  virtual void Done() noexcept = 0;
};

class ThreadPool {
 public:
  // Starts threads on demand, up to `limit`.
  ThreadPool(unsigned limit, const char* name) : limit_(std::max(1u, limit)), name_(name) {}
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Finishes every job, then joins. Must not be called on a thread of this pool.
  ~ThreadPool() {
    {
      std::lock_guard lock(mutex_);
      closing_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  unsigned limit() const { return limit_; }

  // Throws std::system_error, and drops the job, if the system cannot start even one thread.
  void Submit(std::shared_ptr<Job> job) {
    const size_t pieces = job->pieces();
    {
      std::lock_guard lock(mutex_);
      StartThreads(std::min<size_t>(limit_, busy_ + waiting_pieces_ + pieces));
      active_.push_back(std::make_shared<Active>(Active{std::move(job), pieces, 0, pieces}));
      waiting_pieces_ += pieces;
    }
    pieces > 1 ? wake_.notify_all() : wake_.notify_one();
  }

 private:
  struct Active {
    std::shared_ptr<Job> job;
    size_t pieces;
    size_t next;
    size_t left;
  };

  void StartThreads(size_t wanted) {
    try {
      while (threads_.size() < wanted) threads_.push_back(StartThread(name_, [this] { Work(); }));
    } catch (const std::system_error&) {
      if (threads_.empty()) throw;
    }
  }

  void Work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return closing_ || !active_.empty(); });
      if (active_.empty()) return;
      ++busy_;
      std::shared_ptr<Active> active = std::move(active_.front());
      active_.pop_front();
      const size_t piece = active->next++;
      --waiting_pieces_;
      if (active->next < active->pieces) active_.push_back(active);
      lock.unlock();
      active->job->Run(piece);
      lock.lock();
      const bool last = --active->left == 0;
      lock.unlock();
      if (last) active->job->Done();
      active.reset();
      lock.lock();
      --busy_;
    }
  }

  const unsigned limit_;
  const char* const name_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Active>> active_;
  std::vector<std::thread> threads_;
  size_t waiting_pieces_ = 0;
  size_t busy_ = 0;
  bool closing_ = false;
};

}  // namespace ce
