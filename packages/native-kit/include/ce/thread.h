// Threads of an addon: named, and with signals blocked, so that the runtime's own threads handle them. Signals for
// faults of the thread itself stay unblocked: a handler, a crash reporter or a sanitizer can report the location.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <thread>
#include <utility>

namespace ce {

// ps and gdb show `name`; at most 15 characters.
template <class Function>
std::thread StartThread(const char* name, Function function) {
  sigset_t all, before;
  ::sigfillset(&all);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) ::sigdelset(&all, fault);
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
