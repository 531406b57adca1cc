// A library opened at run time, with a report of its missing parts.
#pragma once

#include <dlfcn.h>

#include <cstdlib>
#include <initializer_list>
#include <string>
#include <vector>

namespace ce {

struct Symbol {
  const char* name;
  void** target;
  bool required;
};

// Result of opening a library. Never unloaded, because such libraries keep threads and thread-local state.
struct DynamicLibrary {
  void* handle = nullptr;
  std::string path;                  // The file that was opened.
  std::vector<std::string> missing;  // Required symbols that it lacks; targets of optional ones are null.
  std::string reason;                // Why it is not usable: the loader's messages, one line per candidate.

  bool usable() const { return handle && missing.empty(); }

  // Opens the file in the environment variable `override_variable`, or else the first candidate that loads.
  static DynamicLibrary Open(const char* override_variable, std::initializer_list<const char*> candidates,
                             std::initializer_list<Symbol> symbols) {
    DynamicLibrary library;
    const char* chosen = override_variable ? std::getenv(override_variable) : nullptr;
    if (chosen && *chosen) {
      library.Try(chosen);
    } else {
      for (const char* candidate : candidates) {
        library.Try(candidate);
        if (library.handle) break;
      }
    }
    if (library.handle) library.Bind(symbols);
    return library;
  }

 private:
  void Try(const char* candidate) {
    handle = ::dlopen(candidate, RTLD_NOW | RTLD_LOCAL);
    if (handle) {
      path = candidate;
      return;
    }
    const char* text = ::dlerror();
    if (!reason.empty()) reason += '\n';
    reason += text ? text : candidate;
  }

  void Bind(std::initializer_list<Symbol> symbols) {
    for (const Symbol& symbol : symbols) {
      *symbol.target = ::dlsym(handle, symbol.name);
      if (*symbol.target) {
        Dl_info info;
        if (::dladdr(*symbol.target, &info) && info.dli_fname) path = info.dli_fname;
      } else if (symbol.required) {
        missing.emplace_back(symbol.name);
      }
    }
    if (missing.empty()) return;
    reason = path + " lacks";
    for (const std::string& name : missing) reason += ' ' + name;
  }
};

}  // namespace ce
