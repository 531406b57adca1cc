// State of the addon for each environment (main thread, worker thread).
#pragma once

#include <napi.h>

#include <memory>

#include "ce/async.h"
#include "ce/js_queue.h"

namespace ce {

struct Environment {
  std::shared_ptr<JsQueue> queue;

  static void Create(Napi::Env env) { env.SetInstanceData(new Environment{JsQueue::Create(env)}); }
  static const std::shared_ptr<JsQueue>& Queue(Napi::Env env) { return env.GetInstanceData<Environment>()->queue; }
};

inline Napi::Value Async(Napi::Env env, std::function<MakeValue()> execute) {
  return Async(env, Environment::Queue(env), std::move(execute));
}

}  // namespace ce
