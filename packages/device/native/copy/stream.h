// An ordered queue of copies.
#pragma once

#include <functional>
#include <optional>

#include "ce/failure.h"
#include "copy/copy_batch.h"

namespace ce {

class Stream {
 public:
  using Completion = std::function<void(const std::optional<Failure>&)>;

  // Finishes the submitted copies.
  virtual ~Stream() = default;

  // Never blocks. `done` is called once, on any thread, after the `done` of the batches before it.
  virtual void Submit(CopyBatch batch, Completion done) = 0;
};

}  // namespace ce
