#include <napi.h>

#include "napi/environment.h"
#include "napi/exports.h"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  ce::Environment::Create(env);
  ce::ExportDeviceFunctions(exports);
  ce::ExportMemoryFunctions(exports);
  ce::ExportStreamFunctions(exports);
  ce::ExportReadFunctions(exports);
  ce::ExportDigestFunctions(exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)
