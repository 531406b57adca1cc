// A function as a job of one piece.
#pragma once

#include <functional>
#include <utility>

#include "ce/thread_pool.h"

namespace ce {

class CallJob final : public Job {
 public:
  // `function` must not throw.
  explicit CallJob(std::function<void()> function) : function_(std::move(function)) {}

  size_t pieces() const override { return 1; }
  void Run(size_t) noexcept override { function_(); }
  void Done() noexcept override {}

 private:
  const std::function<void()> function_;
};

}  // namespace ce
