// Runs a blocking call on a thread of its own and settles a promise with what comes of it.
#pragma once

#include <new>
#include <system_error>

#include "ce/settler.h"
#include "ce/thread.h"

namespace ce {

// `execute` runs without JavaScript; it returns how to make the value, or throws Failure.
inline Napi::Value Async(Napi::Env env, const std::shared_ptr<JsQueue>& queue, std::function<MakeValue()> execute) {
  Settler settler(env, queue);
  const auto run = [settler, execute = std::move(execute)]() mutable {
    try {
      settler.Resolve(execute());
    } catch (const Failure& failure) {
      settler.Reject(failure);
    } catch (const std::bad_alloc&) {
      settler.Reject(Failure("CE_HOST_OUT_OF_MEMORY", "The process is out of memory", "Free host memory"));
    } catch (const std::exception& error) {
      settler.Reject(Failure("CE_INTERNAL", error.what(), "Report this with the log: it should not happen"));
    }
    execute = nullptr;
  };
  try {
    StartThread("ce-async", run).detach();
  } catch (const std::system_error& error) {
    settler.Reject(Failure("CE_HOST_OUT_OF_MEMORY", std::string("Cannot start a thread: ") + error.what(),
                           "Raise the limit of processes and threads (ulimit -u)")
                       .From("pthread_create", error.code().value()));
  }
  return settler.promise(env);
}

}  // namespace ce
