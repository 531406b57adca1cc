// The addon's objects as JavaScript holds them. A box is empty after close.
#pragma once

#include <memory>
#include <vector>

#include "ce/boxed.h"
#include "device/device.h"

namespace ce {

struct DeviceBox {
  static constexpr napi_type_tag kTypeTag{0x6f2b1f0c8e5d4a17, 0x9c3e77a1d2b84f60};
  static constexpr char kTypeName[] = "device";
  std::shared_ptr<Device> device;
};

// A view of a memory, possibly held by JavaScript.
struct MemoryView {
  Napi::Reference<Napi::ArrayBuffer> buffer;  // Weak.
  std::weak_ptr<MemoryPtr> owner;             // Keeps the memory alive for the view.
};

struct MemoryBox {
  static constexpr napi_type_tag kTypeTag{0xa81c5e93f7d04b26, 0xb46f02d89e1a7c35};
  static constexpr char kTypeName[] = "memory";
  MemoryPtr memory;
  std::vector<MemoryView> views;
};

struct StreamBox {
  static constexpr napi_type_tag kTypeTag{0x3d97b0e4615c42fa, 0x8b1d6e50c7f3a924};
  static constexpr char kTypeName[] = "stream";
  std::shared_ptr<Stream> stream;
};

struct ReadBox {
  static constexpr napi_type_tag kTypeTag{0xd24a8c67b90e4135, 0x97e5f13a60c8d2be};
  static constexpr char kTypeName[] = "read";
  std::shared_ptr<ReadJob> job;
};

// Returns the open object in the box `value`. Throws TypeError, or CE_CLOSED.
std::shared_ptr<Device> DeviceOf(const Napi::Value& value);
MemoryPtr MemoryOf(const Napi::Value& value);
std::shared_ptr<Stream> StreamOf(const Napi::Value& value);

Napi::Value BoxMemory(Napi::Env env, MemoryPtr memory);

}  // namespace ce
