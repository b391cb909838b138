// What makes a WritableFile refuse after its first failure: see file.h.
#pragma once

#include <exception>

#include "base/error.h"

namespace lamina {

class Poison {
 public:
  // Runs `fn`, unless an earlier one threw a StorageError: then throws that again.
  template <class Fn>
  void guard(Fn&& fn) {
    check();
    try {
      fn();
    } catch (const StorageError&) {
      first_ = std::current_exception();
      throw;
    }
  }

  void check() const {
    if (first_) std::rethrow_exception(first_);
  }

 private:
  std::exception_ptr first_;
};

}  // namespace lamina
