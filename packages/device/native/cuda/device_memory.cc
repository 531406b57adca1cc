#include "cuda/device_memory.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "ce/reaper.h"
#include "cuda/exported_handles.h"

namespace ce {
namespace {

// The driver carves smaller allocations out of blocks of this size, and a handle opens a whole block.
constexpr size_t kBlockBytes = size_t{2} << 20;

CUdeviceptr Allocate(const CudaSession& cuda, size_t size) {
  CUdeviceptr pointer = 0;
  const CUresult status = cuda->MemAlloc(&pointer, size);
  if (status == kCudaOutOfMemory) {
    size_t free = 0;
    size_t total = 0;
    cuda->MemGetInfo(&free, &total);
    throw Failure("CE_DEVICE_OUT_OF_MEMORY",
                  "Device memory of " + std::to_string(size) + " bytes was requested, but " + std::to_string(free) +
                      " of " + std::to_string(total) + " bytes are free",
                  "Use smaller buckets, or leave less of the GPU's memory to the engine")
        .From("cuMemAlloc", status)
        .Detail(cuda->ErrorText(status));
  }
  cuda->Check(status, "cuMemAlloc");
  return pointer;
}

class DeviceMemory final : public Memory {
 public:
  DeviceMemory(CudaContextPtr context, CUdeviceptr pointer, size_t size)
      : Memory(MemoryKind::kDevice, pointer, size), context_(std::move(context)) {}
  ~DeviceMemory() override {
    try {
      CudaSession(*context_)->MemFree(address());
    } catch (const Failure&) {
      // A context that cannot be entered has already lost its memory.
    }
  }

 private:
  const CudaContextPtr context_;
};

class ExportedMemory final : public Memory {
 public:
  ExportedMemory(CudaContextPtr context, MemoryPtr block, size_t size, std::string handle)
      : Memory(MemoryKind::kDevice, block->address(), size),
        context_(std::move(context)),
        block_(std::move(block)),
        handle_(std::move(handle)) {
    ExportedHandles::Get().Add(handle_);
  }
  ~ExportedMemory() override { ExportedHandles::Get().Remove(handle_); }

  std::string handle() const override { return handle_; }

 private:
  const CudaContextPtr context_;
  const MemoryPtr block_;
  const std::string handle_;
};

class OpenedMemory final : public Memory {
 public:
  OpenedMemory(CudaContextPtr context, CUdeviceptr pointer, size_t size)
      : Memory(MemoryKind::kDevice, pointer, size), context_(std::move(context)) {}
  ~OpenedMemory() override {
    try {
      CudaSession(*context_)->IpcCloseMemHandle(address());
    } catch (const Failure&) {
      // A context that cannot be entered has already lost its memory.
    }
  }

 private:
  const CudaContextPtr context_;
};

}  // namespace

MemoryPtr AllocateDevice(const CudaContextPtr& context, size_t size) {
  const CudaSession cuda(*context);
  return Reaper::Own<Memory>(std::make_unique<DeviceMemory>(context, Allocate(cuda, size), size));
}

MemoryPtr AllocateExported(const CudaContextPtr& context, size_t size) {
  MemoryPtr block = AllocateDevice(context, (size + kBlockBytes - 1) & ~(kBlockBytes - 1));
  const CudaSession cuda(*context);
  CUipcMemHandle handle;
  const CUresult status = cuda->IpcGetMemHandle(&handle, block->address());
  if (status != kCudaSuccess) {
    throw Failure("CE_SHM_FAILED", "Device memory cannot be shared: " + cuda->ErrorText(status),
                  "Run where CUDA IPC works: Linux, no MIG across instances, no confidential computing")
        .From("cuIpcGetMemHandle", status);
  }
  std::string bytes(reinterpret_cast<const char*>(handle.reserved), sizeof handle.reserved);
  return Reaper::Own<Memory>(std::make_unique<ExportedMemory>(context, std::move(block), size, std::move(bytes)));
}

MemoryPtr OpenExported(const CudaContextPtr& context, const std::string& bytes, size_t size) {
  CUipcMemHandle handle;
  if (bytes.size() != sizeof handle.reserved) {
    throw Failure("CE_SHM_FAILED", "A handle of CUDA memory has 64 bytes, not " + std::to_string(bytes.size()),
                  "Pass the handle of the process that shares the memory without changes");
  }
  if (ExportedHandles::Get().Has(bytes)) {
    throw Failure("CE_SHM_FAILED", "CUDA cannot open a handle in the process that exported it",
                  "Use the memory that allocateShared returned, or open the handle in another process");
  }
  std::memcpy(handle.reserved, bytes.data(), bytes.size());
  const CudaSession cuda(*context);
  CUdeviceptr pointer = 0;
  const CUresult status = cuda->IpcOpenMemHandle(&pointer, handle, kIpcLazyEnablePeerAccess);
  if (status == kCudaOutOfMemory) cuda->Check(status, "cuIpcOpenMemHandle");
  if (status != kCudaSuccess) {
    throw Failure("CE_SHM_FAILED", "Shared device memory cannot be opened: " + cuda->ErrorText(status),
                  "Check that its process still runs and sees the same GPU; containers need --ipc=host and --pid=host")
        .From("cuIpcOpenMemHandle", status);
  }
  MemoryPtr memory = Reaper::Own<Memory>(std::make_unique<OpenedMemory>(context, pointer, size));
  CUdeviceptr base = 0;
  size_t whole = 0;
  cuda->Check(cuda->MemGetAddressRange(&base, &whole, pointer), "cuMemGetAddressRange");
  if (size > whole - (pointer - base)) {
    throw Failure("CE_SHM_FAILED",
                  "Shared device memory has " + std::to_string(whole) + " bytes, not " + std::to_string(size),
                  "Pass the size that the process that shares the memory reports");
  }
  return memory;
}

}  // namespace ce
