// The addon's functions, as native.ts declares them. Each file of this folder adds its own.
#pragma once

#include <napi.h>

namespace ce {

void ExportDeviceFunctions(Napi::Object exports);
void ExportMemoryFunctions(Napi::Object exports);
void ExportStreamFunctions(Napi::Object exports);
void ExportReadFunctions(Napi::Object exports);
void ExportDigestFunctions(Napi::Object exports);

}  // namespace ce
