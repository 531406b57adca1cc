#include "cuda/cuda_session.h"

#include <optional>

#include "ce/reaper.h"

namespace ce {
namespace {

// Creates and releases a context behind the gate.
class GatedContext {
 public:
  explicit GatedContext(int index) {
    const DriverGate::Pass pass = DriverGate::Get().Enter();
    context_.emplace(index);
  }
  ~GatedContext() {
    const DriverGate::Pass pass = DriverGate::Get().Enter();
    context_.reset();
  }
  GatedContext(const GatedContext&) = delete;
  GatedContext& operator=(const GatedContext&) = delete;

  CudaContext* get() { return &*context_; }

 private:
  std::optional<CudaContext> context_;
};

}  // namespace

CudaContextPtr RetainContext(int index) {
  CudaDriver::Get();  // The gate must be installed after it.
  const auto gated = Reaper::Own(std::make_unique<GatedContext>(index));
  return CudaContextPtr(gated, gated->get());
}

}  // namespace ce
