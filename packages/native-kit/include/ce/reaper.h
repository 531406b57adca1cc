// Frees resources that are slow to free (gigabytes of mappings, device memory, threads to join) off the JavaScript
// thread and off the threads that did the work.
#pragma once

#include <future>
#include <memory>

#include "ce/call_job.h"
#include "ce/thread_pool.h"

namespace ce {

class Reaper {
 public:
  // One instance per process. Never destroyed: the system frees everything at exit.
  static Reaper& Get() {
    static Reaper* reaper = new Reaper();
    return *reaper;
  }

  // Creates an object whose last owner passes it to the reaper. The reaper destroys objects one after another.
  template <class T>
  static std::shared_ptr<T> Own(std::unique_ptr<T> object) {
    return std::shared_ptr<T>(object.release(), [](T* raw) { Get().Destroy(std::unique_ptr<T>(raw)); });
  }

  // Returns when everything that was passed before is destroyed. Must not be called on the reaper's own thread.
  void Wait() {
    auto reached = std::make_shared<std::promise<void>>();
    std::future<void> future = reached->get_future();
    pool_.Submit(std::make_shared<CallJob>([reached] { reached->set_value(); }));
    future.wait();
  }

 private:
  template <class T>
  void Destroy(std::unique_ptr<T> object) {
    if (on_its_thread_) return;  // A part of an object that is being destroyed: destroy it immediately.
    T* raw = object.release();
    const auto destroy = [raw] {
      on_its_thread_ = true;
      delete raw;
      on_its_thread_ = false;
    };
    try {
      pool_.Submit(std::make_shared<CallJob>(destroy));
    } catch (const std::system_error&) {
      destroy();  // The system cannot start a thread, so this thread frees the object.
    }
  }

  static inline thread_local bool on_its_thread_ = false;
  ThreadPool pool_{1, "ce-reaper"};
};

}  // namespace ce
