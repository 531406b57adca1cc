// Runs a blocking call on a separate thread and settles a promise with its result.
#pragma once

#include "ce/settler.h"
#include "ce/thread.h"

namespace ce {

// `execute` runs without JavaScript; it returns a function that creates the value, or throws Failure.
inline Napi::Value Async(Napi::Env env, const std::shared_ptr<JsQueue>& queue, std::function<MakeValue()> execute) {
  Settler settler(env, queue);
  settler.Start([&] {
    StartThread("ce-async", [settler, execute = std::move(execute)]() mutable {
      settler.Start([&] { settler.Resolve(execute()); });
      execute = nullptr;  // Releases its captures before the thread ends.
    }).detach();
  });
  return settler.promise(env);
}

}  // namespace ce
