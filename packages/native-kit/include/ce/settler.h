// A promise that any thread can settle.
#pragma once

#include <napi.h>

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

#include "ce/js_error.h"
#include "ce/js_queue.h"

namespace ce {

// Creates the value of the promise, on the JavaScript thread.
using MakeValue = std::function<Napi::Value(Napi::Env)>;

inline MakeValue Nothing() {
  return [](Napi::Env env) { return env.Undefined(); };
}

// Copies refer to the same promise, which keeps the event loop alive until it is settled. If the last copy is destroyed
// before that, the promise is rejected, if JavaScript has it, and the event loop is released.
class Settler {
 public:
  Settler(Napi::Env env, std::shared_ptr<JsQueue> queue) : state_(std::make_shared<State>(std::move(queue))) {
    if (napi_create_promise(env, &state_->deferred, &promise_) != napi_ok) throw Napi::Error::New(env);
    state_->queue->Hold(env);
    state_->pending = true;
  }

  // Call it on the JavaScript thread, in the scope that created the settler.
  Napi::Value promise(Napi::Env env) const {
    state_->given = true;
    return Napi::Value(env, promise_);
  }

  // Keeps a JavaScript object alive until the promise is settled. Call it once.
  void Keep(const Napi::Object& object) {
    if (napi_create_reference(object.Env(), object, 1, &state_->kept) != napi_ok) throw Napi::Error::New(object.Env());
  }

  // Runs the function that will settle the promise later; if the function throws, rejects the promise.
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

  // The first of these calls settles the promise; later ones do nothing.
  void Resolve(MakeValue make) const {
    state_->Settle([make = std::move(make)](Napi::Env env, napi_deferred deferred) {
      try {
        napi_resolve_deferred(env, deferred, make(env));
      } catch (const Napi::Error& error) {
        napi_reject_deferred(env, deferred, error.Value());
      }
    });
  }

  void Reject(Failure failure) const {
    state_->Settle([failure = std::move(failure)](Napi::Env env, napi_deferred deferred) {
      napi_reject_deferred(env, deferred, ToJsError(env, failure).Value());
    });
  }

 private:
  struct State {
    explicit State(std::shared_ptr<JsQueue> js_queue) : queue(std::move(js_queue)) {}
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    ~State() {
      if (!pending) return;
      try {
        Settle([given = given.load()](Napi::Env env, napi_deferred deferred) {
          if (!given) return;  // The creating function threw instead: no caller could see a rejection.
          const Failure failure("CE_INTERNAL", "The work ended without a result",
                                "Report this error with the log: it should not happen");
          napi_reject_deferred(env, deferred, ToJsError(env, failure).Value());
        });
      } catch (const std::exception&) {
        // Out of memory: the promise stays pending.
      }
    }

    template <class Function>
    void Settle(Function settle) {
      if (!pending.exchange(false)) return;
      queue->Post([queue = queue, deferred = deferred, kept = kept, settle = std::move(settle)](Napi::Env env) {
        queue->Drop(env);
        if (kept) napi_delete_reference(env, kept);
        settle(env, deferred);
      });
    }

    const std::shared_ptr<JsQueue> queue;
    napi_deferred deferred = nullptr;
    napi_ref kept = nullptr;
    std::atomic<bool> pending{false};
    std::atomic<bool> given{false};
  };

  std::shared_ptr<State> state_;
  napi_value promise_ = nullptr;
};

}  // namespace ce
