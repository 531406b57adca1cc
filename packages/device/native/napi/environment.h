// State of the addon for each environment (main thread, worker thread).
#pragma once

#include <napi.h>

#include <memory>

#include "ce/async.h"
#include "ce/js_queue.h"
#include "copy/write_job.h"

namespace ce {

struct Environment {
  std::shared_ptr<JsQueue> queue;
  std::shared_ptr<WriteJobs> writes;

  static void Create(Napi::Env env) {
    auto writes = std::make_shared<WriteJobs>();
    // Runs before the environment frees the bytes that JavaScript owns.
    napi_add_env_cleanup_hook(env, StopWrites, new std::shared_ptr<WriteJobs>(writes));
    env.SetInstanceData(new Environment{JsQueue::Create(env), std::move(writes)});
  }

  static const std::shared_ptr<JsQueue>& Queue(Napi::Env env) { return env.GetInstanceData<Environment>()->queue; }
  static WriteJobs& Writes(Napi::Env env) { return *env.GetInstanceData<Environment>()->writes; }

 private:
  static void StopWrites(void* data) {
    const std::unique_ptr<std::shared_ptr<WriteJobs>> owner(static_cast<std::shared_ptr<WriteJobs>*>(data));
    (*owner)->Stop();
  }
};

inline Napi::Value Async(Napi::Env env, std::function<MakeValue()> execute) {
  return Async(env, Environment::Queue(env), std::move(execute));
}

}  // namespace ce
