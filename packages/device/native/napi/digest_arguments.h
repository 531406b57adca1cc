// Digest plans and sums as JavaScript holds them.
#pragma once

#include <napi.h>

#include <vector>

#include "ce/settler.h"
#include "digest/digest_plan.h"

namespace ce {

// Rows of [memoryOffset, rows, rowBytes, memoryPitch, position, positionPitch, sum]. Throws RangeError for a row that
// is outside of a memory of `memory_size` bytes or that adds to a sum that does not exist.
DigestPlan ToDigestPlan(const Napi::Value& rows, const Napi::Value& block_bytes, const Napi::Value& sum_count,
                        uint64_t memory_size);

// A BigUint64Array.
MakeValue MakeSums(std::vector<uint64_t> sums);

}  // namespace ce
