// The threads that work with NCCL and CUDA now, so that the process does not end under them.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <set>

namespace ce {

// T has `Abort()`, callable on any thread, after which its thread ends soon.
template <class T>
class LiveThreads {
 public:
  // Entered as long as this lives, on the thread itself.
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
  // A thread that is stuck in a driver must not keep the process from ending.
  static constexpr auto kExitPatience = std::chrono::seconds(5);

  // Never destroyed: threads may outlive static objects.
  static LiveThreads& Get() {
    static LiveThreads* live = new LiveThreads();
    return *live;
  }

  // Exit handlers run in the reverse order of their registration: this one, registered when the libraries are loaded,
  // comes before those by which they tear themselves down.
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
