// Runs a blocking call on a thread of its own and settles a promise with what comes of it.
#pragma once

#include "ce/settler.h"
#include "ce/thread.h"

namespace ce {

// `execute` runs without JavaScript; it returns how to make the value, or throws Failure.
inline Napi::Value Async(Napi::Env env, const std::shared_ptr<JsQueue>& queue, std::function<MakeValue()> execute) {
  Settler settler(env, queue);
  settler.Start([&] {
    StartThread("ce-async", [settler, execute = std::move(execute)]() mutable {
      settler.Start([&] { settler.Resolve(execute()); });
      execute = nullptr;  // What it captured goes before the thread does.
    }).detach();
  });
  return settler.promise(env);
}

}  // namespace ce
