// A promise that is settled from any thread.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <utility>

#include "ce/js_error.h"
#include "ce/js_queue.h"

namespace ce {

// Makes the promise's value, on the JavaScript thread.
using MakeValue = std::function<Napi::Value(Napi::Env)>;

inline MakeValue Nothing() {
  return [](Napi::Env env) { return env.Undefined(); };
}

// Copies refer to the same promise. Settle it exactly once: until then it keeps the event loop alive.
class Settler {
 public:
  Settler(Napi::Env env, std::shared_ptr<JsQueue> queue) : queue_(std::move(queue)) {
    if (napi_create_promise(env, &deferred_, &promise_) != napi_ok) throw Napi::Error::New(env);
    queue_->Hold(env);
  }

  // On the JavaScript thread, in the scope that made the settler.
  Napi::Value promise(Napi::Env env) const { return Napi::Value(env, promise_); }

  // Keeps a JavaScript object alive until the promise is settled. Before the settler is copied, and once.
  void Keep(const Napi::Object& object) {
    if (napi_create_reference(object.Env(), object, 1, &kept_) != napi_ok) throw Napi::Error::New(object.Env());
  }

  // Runs what will settle the promise later; where that cannot even start, rejects.
  template <class Function>
  void Start(Function function) const {
    try {
      function();
    } catch (const Failure& failure) {
      Reject(failure);
    } catch (const std::exception& error) {
      Reject(ToFailure(error));
    }
  }

  void Resolve(MakeValue make) const {
    Settle([deferred = deferred_, make = std::move(make)](Napi::Env env) {
      try {
        napi_resolve_deferred(env, deferred, make(env));
      } catch (const Napi::Error& error) {
        napi_reject_deferred(env, deferred, error.Value());
      }
    });
  }

  void Reject(Failure failure) const {
    Settle([deferred = deferred_, failure = std::move(failure)](Napi::Env env) {
      napi_reject_deferred(env, deferred, ToJsError(env, failure).Value());
    });
  }

 private:
  void Settle(JsQueue::Task settle) const {
    queue_->Post([queue = queue_, kept = kept_, settle = std::move(settle)](Napi::Env env) {
      queue->Drop(env);
      if (kept) napi_delete_reference(env, kept);
      settle(env);
    });
  }

  std::shared_ptr<JsQueue> queue_;
  napi_deferred deferred_ = nullptr;
  napi_value promise_ = nullptr;
  napi_ref kept_ = nullptr;
};

}  // namespace ce
