// Runs tasks on the JavaScript thread of one environment (main thread or worker thread).
#pragma once

#include <napi.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

namespace ce {

class JsQueue {
 public:
  using Task = std::function<void(Napi::Env)>;

  // Called on the JavaScript thread. The queue closes itself when the environment ends.
  static std::shared_ptr<JsQueue> Create(Napi::Env env) {
    auto queue = std::make_shared<JsQueue>();
    napi_status status =
        napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "checkpoint-engine"), 0, 1,
                                        nullptr, nullptr, queue.get(), Drain, &queue->wake_);
    if (status != napi_ok) throw Napi::Error::New(env, "Cannot create a thread-safe function");
    napi_unref_threadsafe_function(env, queue->wake_);
    // Registered after the thread-safe function, so it runs before the function is destroyed.
    napi_add_env_cleanup_hook(env, Close, new std::shared_ptr<JsQueue>(queue));
    return queue;
  }

  // Runs `task` on the JavaScript thread, in order. Callable on any thread; drops the task after the environment has
  // ended.
  void Post(Task task) {
    std::lock_guard lock(mutex_);
    if (!wake_) return;
    tasks_.push_back(std::move(task));
    if (tasks_.size() == 1) napi_call_threadsafe_function(wake_, nullptr, napi_tsfn_nonblocking);
  }

  // Between Hold and Drop (both on the JavaScript thread) the event loop stays alive.
  void Hold(Napi::Env env) {
    if (holds_++ == 0 && wake_) napi_ref_threadsafe_function(env, wake_);
  }
  void Drop(Napi::Env env) {
    if (--holds_ == 0 && wake_) napi_unref_threadsafe_function(env, wake_);
  }

 private:
  static void Drain(napi_env env, napi_value, void* context, void*) {
    if (!env) return;  // The environment is ending; the context may be gone.
    auto* queue = static_cast<JsQueue*>(context);
    std::deque<Task> tasks;
    {
      std::lock_guard lock(queue->mutex_);
      tasks.swap(queue->tasks_);
    }
    for (Task& task : tasks) {
      try {
        task(env);
      } catch (const Napi::Error&) {
        // The environment is being terminated: no JavaScript can handle the error.
      }
    }
  }

  static void Close(void* data) {
    std::unique_ptr<std::shared_ptr<JsQueue>> owner(static_cast<std::shared_ptr<JsQueue>*>(data));
    JsQueue& queue = **owner;
    std::deque<Task> dropped;
    std::lock_guard lock(queue.mutex_);
    dropped.swap(queue.tasks_);
    napi_release_threadsafe_function(std::exchange(queue.wake_, nullptr), napi_tsfn_abort);
  }

  std::mutex mutex_;
  napi_threadsafe_function wake_ = nullptr;
  std::deque<Task> tasks_;
  size_t holds_ = 0;
};

}  // namespace ce
