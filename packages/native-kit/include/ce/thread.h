// Threads of an addon: named, and with all signals blocked, so that the runtime's own threads handle those.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <thread>
#include <utility>

namespace ce {

// `name` shows in ps and gdb; at most 15 characters.
template <class Function>
std::thread StartThread(const char* name, Function function) {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread thread(std::move(function));
    ::pthread_setname_np(thread.native_handle(), name);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return thread;
  } catch (...) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
}

}  // namespace ce
