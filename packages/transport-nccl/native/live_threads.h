// The threads that currently work with NCCL and CUDA, so that the exit of the process can end them first.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <set>

namespace ce {

// T has `Abort()`, callable on any thread, which makes its thread end soon.
template <class T>
class LiveThreads {
 public:
  // Registers the thread during the lifetime of this object, which the thread itself creates.
  class Entry {
   public:
    explicit Entry(T& owner) : owner_(owner) { Get().Add(&owner); }
    ~Entry() { Get().Remove(&owner_); }
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

   private:
    T& owner_;
  };

 private:
  // A thread that hangs in a driver must not keep the process from ending.
  static constexpr auto kExitPatience = std::chrono::seconds(5);

  // Never destroyed: threads may outlive static objects.
  static LiveThreads& Get() {
    static LiveThreads* live = new LiveThreads();
    return *live;
  }

  // Exit handlers run in the reverse order of their registration: this one is registered after the libraries are
  // loaded, so it runs before the handlers of the libraries themselves.
  LiveThreads() {
    std::atexit([] { Get().StopAll(); });
  }

  void Add(T* owner) {
    std::lock_guard lock(mutex_);
    owners_.insert(owner);
  }

  void Remove(T* owner) {
    std::lock_guard lock(mutex_);
    owners_.erase(owner);
    removed_.notify_all();
  }

  void StopAll() {
    std::unique_lock lock(mutex_);
    for (T* owner : owners_) owner->Abort();
    removed_.wait_for(lock, kExitPatience, [this] { return owners_.empty(); });
  }

  std::mutex mutex_;
  std::condition_variable removed_;
  std::set<T*> owners_;
};

}  // namespace ce
