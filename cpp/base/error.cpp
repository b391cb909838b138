#include "base/error.h"

#include <cstring>

namespace lamina {
namespace {

std::string holder(int64_t pid, const std::string& host) {
  if (pid <= 0) return "another process";
  return "process " + std::to_string(pid) + (host.empty() ? "" : " on " + host);
}

}  // namespace

CorruptionError::CorruptionError(std::string in_file, uint64_t at, std::string wanted, std::string got)
    : Error(in_file + ": damaged at offset " + std::to_string(at) + ": expected " + wanted + ", found " + got),
      file(std::move(in_file)),
      offset(at),
      expected(std::move(wanted)),
      found(std::move(got)) {}

FormatVersionError::FormatVersionError(std::string in_file, Age its_age, const std::string& what)
    : Error(in_file + (its_age == Age::kTooOld ? ": too old for this build: " : ": too new for this build: ") + what),
      file(std::move(in_file)),
      age(its_age) {}

StorageError::StorageError(int number, std::string at, const std::string& doing)
    : Error(at + ": " + doing + ": " + std::strerror(number)), error_number(number), path(std::move(at)) {}

LockedError::LockedError(std::string at, int64_t holder_pid, std::string holder_host)
    : Error(at + ": open for writing in " + holder(holder_pid, holder_host) +
            "; open with read_only=True, or close the writer first"),
      path(std::move(at)),
      pid(holder_pid),
      host(std::move(holder_host)) {}

LockedError::LockedError(std::string at, const std::string& why)
    : Error(at + ": " + why), path(std::move(at)), pid(0) {}

}  // namespace lamina
