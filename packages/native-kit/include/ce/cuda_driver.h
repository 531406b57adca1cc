// The part of the CUDA driver API that this project calls, opened at run time: building needs no toolkit, and loading
// needs no GPU. Declared by hand after https://docs.nvidia.com/cuda/cuda-driver-api/; names carry the versions that the
// library exports.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "ce/dynamic_library.h"
#include "ce/failure.h"

namespace ce {

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUcontext = struct CUctx_st*;
using CUstream = struct CUstream_st*;
using CUevent = struct CUevent_st*;
struct CUuuid {
  unsigned char bytes[16];
};
struct CUipcMemHandle {
  unsigned char reserved[64];
};
static_assert(sizeof(CUdeviceptr) == 8 && sizeof(CUuuid) == 16 && sizeof(CUipcMemHandle) == 64, "sizes as in cuda.h");

constexpr CUresult kCudaSuccess = 0;
constexpr CUresult kCudaInvalidValue = 1;
constexpr CUresult kCudaOutOfMemory = 2;
constexpr CUresult kCudaNoDevice = 100;
constexpr CUresult kCudaInvalidContext = 201;
constexpr CUresult kCudaNotReady = 600;
constexpr CUresult kCudaAlreadyRegistered = 712;
constexpr unsigned kStreamNonBlocking = 1;
constexpr unsigned kEventBlockingSync = 1;
constexpr unsigned kEventDisableTiming = 2;
constexpr unsigned kIpcLazyEnablePeerAccess = 1;
constexpr unsigned kHostRegisterPortable = 1;
constexpr unsigned kHostRegisterReadOnly = 8;

// name in the table, exported symbol, parameters
#define CE_CUDA_FUNCTIONS(X)                                                                                  \
  X(Init, cuInit, (unsigned flags))                                                                           \
  X(DriverGetVersion, cuDriverGetVersion, (int* version))                                                     \
  X(GetErrorName, cuGetErrorName, (CUresult error, const char** text))                                        \
  X(GetErrorString, cuGetErrorString, (CUresult error, const char** text))                                    \
  X(DeviceGetCount, cuDeviceGetCount, (int* count))                                                           \
  X(DeviceGet, cuDeviceGet, (CUdevice * device, int ordinal))                                                 \
  X(DeviceGetName, cuDeviceGetName, (char* name, int length, CUdevice device))                                \
  X(DeviceGetUuid, cuDeviceGetUuid_v2, (CUuuid * uuid, CUdevice device))                                      \
  X(DeviceTotalMem, cuDeviceTotalMem_v2, (size_t* bytes, CUdevice device))                                    \
  X(PrimaryCtxRetain, cuDevicePrimaryCtxRetain, (CUcontext * context, CUdevice device))                       \
  X(PrimaryCtxRelease, cuDevicePrimaryCtxRelease_v2, (CUdevice device))                                       \
  X(CtxSetCurrent, cuCtxSetCurrent, (CUcontext context))                                                      \
  X(MemGetInfo, cuMemGetInfo_v2, (size_t* free, size_t* total))                                               \
  X(MemAlloc, cuMemAlloc_v2, (CUdeviceptr * pointer, size_t bytes))                                           \
  X(MemFree, cuMemFree_v2, (CUdeviceptr pointer))                                                             \
  X(MemGetAddressRange, cuMemGetAddressRange_v2, (CUdeviceptr * base, size_t* bytes, CUdeviceptr pointer))    \
  X(IpcGetMemHandle, cuIpcGetMemHandle, (CUipcMemHandle * handle, CUdeviceptr pointer))                       \
  X(IpcOpenMemHandle, cuIpcOpenMemHandle_v2, (CUdeviceptr * pointer, CUipcMemHandle handle, unsigned flags))  \
  X(IpcCloseMemHandle, cuIpcCloseMemHandle, (CUdeviceptr pointer))                                            \
  X(MemHostRegister, cuMemHostRegister_v2, (void* pointer, size_t bytes, unsigned flags))                     \
  X(MemHostUnregister, cuMemHostUnregister, (void* pointer))                                                  \
  X(MemcpyHtoDAsync, cuMemcpyHtoDAsync_v2, (CUdeviceptr to, const void* from, size_t bytes, CUstream stream)) \
  X(MemcpyDtoHAsync, cuMemcpyDtoHAsync_v2, (void* to, CUdeviceptr from, size_t bytes, CUstream stream))       \
  X(MemcpyDtoDAsync, cuMemcpyDtoDAsync_v2, (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)) \
  X(StreamCreate, cuStreamCreate, (CUstream * stream, unsigned flags))                                        \
  X(StreamSynchronize, cuStreamSynchronize, (CUstream stream))                                                \
  X(StreamDestroy, cuStreamDestroy_v2, (CUstream stream))                                                     \
  X(EventCreate, cuEventCreate, (CUevent * event, unsigned flags))                                            \
  X(EventRecord, cuEventRecord, (CUevent event, CUstream stream))                                             \
  X(EventQuery, cuEventQuery, (CUevent event))                                                                \
  X(EventSynchronize, cuEventSynchronize, (CUevent event))                                                    \
  X(EventDestroy, cuEventDestroy_v2, (CUevent event))

struct CudaDriver {
#define CE_DECLARE(name, symbol, parameters) CUresult(*name) parameters = nullptr;
  CE_CUDA_FUNCTIONS(CE_DECLARE)
#undef CE_DECLARE
  DynamicLibrary library;

  // Opened and initialized once for the process. CHECKPOINT_ENGINE_CUDA_LIB selects another file.
  static const CudaDriver& Get() {
    static const CudaDriver* driver = new CudaDriver();
    return *driver;
  }

  // Empty if calls can be made; otherwise the reason.
  const std::string& unavailable() const { return unavailable_; }

  std::string ErrorText(CUresult status) const {
    const char* name = nullptr;
    const char* text = nullptr;
    if (GetErrorName) GetErrorName(status, &name);
    if (GetErrorString) GetErrorString(status, &text);
    return std::string(name ? name : "CUDA error " + std::to_string(status)) + (text ? std::string(": ") + text : "");
  }

  // Throws `CE_DEVICE_FAILED` with the driver's own text unless `status` is success.
  void Check(CUresult status, const char* operation) const {
    if (status == kCudaSuccess) return;
    throw Failure("CE_DEVICE_FAILED", std::string(operation) + " failed: " + ErrorText(status),
                  "Check nvidia-smi and the kernel log for the state of the GPU, then start this process again")
        .From(operation, status);
  }

 private:
  CudaDriver() {
    library = DynamicLibrary::Open("CHECKPOINT_ENGINE_CUDA_LIB", {"libcuda.so.1"},
                                   {
#define CE_BIND(name, symbol, parameters) {#symbol, reinterpret_cast<void**>(&name), true},
                                       CE_CUDA_FUNCTIONS(CE_BIND)
#undef CE_BIND
                                   });
    if (!library.usable()) {
      unavailable_ = library.reason;
      return;
    }
    const CUresult status = Init(0);
    if (status != kCudaSuccess) unavailable_ = "cuInit failed: " + ErrorText(status);
  }

  std::string unavailable_;
};

// The primary context of a device, retained during the lifetime of this object. All other users in the process
// (NCCL, torch) share it, so it is never created a second time.
class CudaContext {
 public:
  explicit CudaContext(int ordinal) : driver_(CudaDriver::Get()) {
    if (!driver_.unavailable().empty()) {
      throw Failure("CE_DEVICE_UNAVAILABLE", "CUDA is not usable on this machine: " + driver_.unavailable(),
                    "Install the NVIDIA driver, or set CHECKPOINT_ENGINE_CUDA_LIB to the path of its library");
    }
    driver_.Check(driver_.DeviceGet(&device_, ordinal), "cuDeviceGet");
    driver_.Check(driver_.PrimaryCtxRetain(&context_, device_), "cuDevicePrimaryCtxRetain");
  }
  ~CudaContext() { driver_.PrimaryCtxRelease(device_); }
  CudaContext(const CudaContext&) = delete;
  CudaContext& operator=(const CudaContext&) = delete;

  const CudaDriver& driver() const { return driver_; }
  CUdevice device() const { return device_; }

  // Makes the context current on the calling thread. Cheap; call it when a thread starts to work.
  void Enter() const { driver_.Check(driver_.CtxSetCurrent(context_), "cuCtxSetCurrent"); }

 private:
  const CudaDriver& driver_;
  CUdevice device_ = 0;
  CUcontext context_ = nullptr;
};

}  // namespace ce
