#include <utility>

#include "ce/arguments.h"
#include "ce/js_error.h"
#include "ce/reaper.h"
#include "device/cuda_device.h"
#include "device/host_device.h"
#include "memory/shared_segment.h"
#include "napi/boxes.h"
#include "napi/environment.h"
#include "napi/exports.h"

namespace ce {
namespace {

MakeValue DeviceValue(std::shared_ptr<Device> device) {
  return [device = std::move(device)](Napi::Env env) -> Napi::Value {
    auto box = std::make_unique<DeviceBox>();
    box->device = device;
    Napi::Object result = Napi::Object::New(env);
    result.Set("native", Boxed<DeviceBox>::New(env, std::move(box)));
    result.Set("uuid", device->uuid());
    result.Set("name", device->name());
    return result;
  };
}

// Returns a promise of the memory that `make` creates off the JavaScript thread.
template <class Make>
Napi::Value PromiseMemory(Napi::Env env, Make make) {
  return Async(env, [make = std::move(make)]() -> MakeValue {
    return [memory = make()](Napi::Env env) { return BoxMemory(env, memory); };
  });
}

// createHostDevice(index, threads, directory)
Napi::Value CreateHostDevice(const Napi::CallbackInfo& info) {
  HostOptions options{static_cast<unsigned>(ToBytes(info[0], "index")),
                      static_cast<unsigned>(ToBytes(info[1], "threads")), ToText(info[2], "directory")};
  return Async(info.Env(),
               [options = std::move(options)] { return DeviceValue(std::make_shared<HostDevice>(options)); });
}

// createCudaDevice(index, threads, directory)
Napi::Value CreateCudaDevice(const Napi::CallbackInfo& info) {
  CudaOptions options{static_cast<int>(ToBytes(info[0], "index")), static_cast<unsigned>(ToBytes(info[1], "threads")),
                      ToText(info[2], "directory")};
  return Async(info.Env(),
               [options = std::move(options)] { return DeviceValue(std::make_shared<CudaDevice>(options)); });
}

// listCudaDevices(): { unavailable, driverPath, driverVersion, devices }
Napi::Value ListCudaDevices(const Napi::CallbackInfo& info) {
  return Async(info.Env(), []() -> MakeValue {
    return [list = CudaDevices::List()](Napi::Env env) {
      Napi::Array devices = Napi::Array::New(env, list.devices.size());
      for (uint32_t i = 0; i < list.devices.size(); i++) {
        Napi::Object device = Napi::Object::New(env);
        device.Set("index", list.devices[i].index);
        device.Set("uuid", list.devices[i].uuid);
        device.Set("name", list.devices[i].name);
        device.Set("totalBytes", static_cast<double>(list.devices[i].total_bytes));
        devices.Set(i, device);
      }
      Napi::Object result = Napi::Object::New(env);
      result.Set("unavailable", list.unavailable);
      result.Set("driverPath", list.driver_path);
      result.Set("driverVersion", list.driver_version);
      result.Set("devices", devices);
      return result;
    };
  });
}

// closeDevice(device): resolves when everything that is no longer in use is freed.
Napi::Value CloseDevice(const Napi::CallbackInfo& info) {
  auto device = std::exchange(Boxed<DeviceBox>::Get(info[0]).device, nullptr);
  return Async(info.Env(), [device = std::move(device)]() mutable {
    device.reset();
    Reaper::Get().Wait();
    return Nothing();
  });
}

Napi::Value MemoryInfoOf(const Napi::CallbackInfo& info) {
  const MemoryInfo bytes = DeviceOf(info[0])->Info();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("freeBytes", static_cast<double>(bytes.free_bytes));
  result.Set("totalBytes", static_cast<double>(bytes.total_bytes));
  return result;
}

// allocateShared(device, sizeBytes)
Napi::Value AllocateShared(const Napi::CallbackInfo& info) {
  return PromiseMemory(info.Env(), [device = DeviceOf(info[0]), size = ToBytes(info[1], "sizeBytes")] {
    return device->AllocateShared(size);
  });
}

// openShared(device, handle, sizeBytes)
Napi::Value OpenShared(const Napi::CallbackInfo& info) {
  if (!info[1].IsTypedArray() || info[1].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw Napi::TypeError::New(info.Env(), "handle must be a Uint8Array");
  }
  const auto bytes = info[1].As<Napi::Uint8Array>();
  std::string handle(reinterpret_cast<const char*>(bytes.Data()), bytes.ElementLength());
  return PromiseMemory(info.Env(), [device = DeviceOf(info[0]), handle = std::move(handle),
                                    size = ToBytes(info[2], "sizeBytes")] { return device->OpenShared(handle, size); });
}

// allocate(device, sizeBytes)
Napi::Value Allocate(const Napi::CallbackInfo& info) {
  return PromiseMemory(info.Env(), [device = DeviceOf(info[0]), size = ToBytes(info[1], "sizeBytes")] {
    return device->Allocate(size);
  });
}

// allocateHost(device, sizeBytes, shared)
Napi::Value AllocateHost(const Napi::CallbackInfo& info) {
  return PromiseMemory(info.Env(),
                       [device = DeviceOf(info[0]), size = ToBytes(info[1], "sizeBytes"),
                        shared = info[2].ToBoolean().Value()] { return device->AllocateHost(size, shared); });
}

// mapFile(device, path)
Napi::Value MapFileOf(const Napi::CallbackInfo& info) {
  return PromiseMemory(info.Env(),
                       [device = DeviceOf(info[0]), path = ToText(info[1], "path")] { return device->Map(path); });
}

// sweepShared(directory): returns the names that were removed.
Napi::Value SweepShared(const Napi::CallbackInfo& info) {
  return Async(info.Env(), [directory = ToText(info[0], "directory")]() -> MakeValue {
    return [names = SweepSegments(directory)](Napi::Env env) {
      Napi::Array array = Napi::Array::New(env, names.size());
      for (uint32_t i = 0; i < names.size(); i++) array.Set(i, names[i]);
      return array;
    };
  });
}

}  // namespace

void ExportDeviceFunctions(Napi::Object exports) {
  Export<CreateHostDevice>(exports, "createHostDevice");
  Export<CreateCudaDevice>(exports, "createCudaDevice");
  Export<ListCudaDevices>(exports, "listCudaDevices");
  Export<CloseDevice>(exports, "closeDevice");
  Export<MemoryInfoOf>(exports, "memoryInfo");
  Export<AllocateShared>(exports, "allocateShared");
  Export<OpenShared>(exports, "openShared");
  Export<Allocate>(exports, "allocate");
  Export<AllocateHost>(exports, "allocateHost");
  Export<MapFileOf>(exports, "mapFile");
  Export<SweepShared>(exports, "sweepShared");
}

}  // namespace ce
