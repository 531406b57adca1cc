#include "read/cold_reads.h"

#include <map>
#include <memory>

namespace ce {
namespace {

constexpr unsigned kSamples = 4;
constexpr unsigned kLookAgainEvery = 32;
constexpr double kWeightOfNew = 0.25;

}  // namespace

ColdReads& ColdReads::On(dev_t file_system) {
  static std::mutex mutex;
  static auto& all = *new std::map<dev_t, std::unique_ptr<ColdReads>>();  // Threads may outlive static objects.
  std::lock_guard lock(mutex);
  std::unique_ptr<ColdReads>& own = all[file_system];
  if (!own) own = std::make_unique<ColdReads>();
  return *own;
}

ColdReads::Way ColdReads::Choose() noexcept {
  std::lock_guard lock(mutex_);
  if (!has_direct_) return Way::kReadahead;
  const unsigned turn = turn_++;
  if (readahead_.samples < kSamples || direct_.samples < kSamples) {
    return turn % 2 == 0 ? Way::kReadahead : Way::kDirect;
  }
  const bool direct_is_faster = direct_.seconds_per_byte < readahead_.seconds_per_byte;
  const bool looks_again = turn % kLookAgainEvery == 0;
  return direct_is_faster != looks_again ? Way::kDirect : Way::kReadahead;
}

void ColdReads::Measured(Way way, uint64_t bytes, double seconds) noexcept {
  if (bytes == 0) return;
  std::lock_guard lock(mutex_);
  Cost& cost = way == Way::kDirect ? direct_ : readahead_;
  const double seen = seconds / static_cast<double>(bytes);
  const double weight = cost.samples == 0 ? 1 : kWeightOfNew;
  cost.seconds_per_byte += weight * (seen - cost.seconds_per_byte);
  cost.samples++;
}

void ColdReads::RefuseDirect() noexcept {
  std::lock_guard lock(mutex_);
  has_direct_ = false;
}

}  // namespace ce
