// A failure for JavaScript: the fields of CheckpointEngineError, without any JavaScript.
#pragma once

#include <cerrno>
#include <cstring>
#include <exception>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace ce {

class Failure : public std::exception {
 public:
  // `message` says what happened, `hint` what to do; neither ends with a period.
  Failure(std::string code, std::string message, std::string hint)
      : code(std::move(code)), message(std::move(message)), hint(std::move(hint)) {}

  // The failed call of the operating system or of a library, with its status.
  Failure&& From(std::string operation, int operation_status) && {
    op = std::move(operation);
    status = operation_status;
    return std::move(*this);
  }
  Failure&& Detail(std::string text) && {
    detail = std::move(text);
    return std::move(*this);
  }
  Failure&& File(std::string path) && {
    file = std::move(path);
    return std::move(*this);
  }

  const char* what() const noexcept override { return message.c_str(); }

  std::string code;
  std::string message;
  std::string hint;
  std::string op;
  std::string detail;
  std::string file;
  std::optional<int> status;
};

// Creates the failure for a failed system call, and appends errno's text to `message`.
inline Failure SystemFailure(std::string code, const std::string& message, std::string hint, std::string op,
                             int error = errno) {
  return Failure(std::move(code), message + ": " + std::strerror(error), std::move(hint)).From(std::move(op), error);
}

// Converts an exception of the C++ library.
inline Failure ToFailure(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error)) {
    return Failure("CE_HOST_OUT_OF_MEMORY", "The process is out of memory", "Free host memory");
  }
  if (const auto* system = dynamic_cast<const std::system_error*>(&error)) {
    return Failure("CE_HOST_OUT_OF_MEMORY", std::string("Cannot start a thread: ") + error.what(),
                   "Raise the limit of processes and threads (ulimit -u)")
        .From("pthread_create", system->code().value());
  }
  return Failure("CE_INTERNAL", error.what(), "Report this error with the log: it should not happen");
}

// Runs `function` and returns its failure: for threads and callbacks, which must not throw.
template <class Function>
std::optional<Failure> FailureOf(Function function) noexcept {
  try {
    function();
    return std::nullopt;
  } catch (const Failure& failure) {
    return failure;
  } catch (const std::exception& error) {
    return ToFailure(error);
  }
}

}  // namespace ce
