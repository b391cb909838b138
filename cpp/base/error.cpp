#include "base/error.h"

#include <cstring>

namespace lamina {
namespace {

std::string holder(int64_t pid, const std::string& host) {
  if (pid <= 0) return "another process";
  return "process " + std::to_string(pid) + (host.empty() ? "" : " on " + host);
}

}  // namespace

CorruptionError::CorruptionError(std::string file, uint64_t offset, std::string expected, std::string found)
    : Error(file + ": damaged at offset " + std::to_string(offset) + ": expected " + expected + ", found " + found),
      file(std::move(file)),
      offset(offset),
      expected(std::move(expected)),
      found(std::move(found)) {}

FormatVersionError::FormatVersionError(std::string file, Age age, const std::string& what)
    : Error(file + (age == Age::kTooOld ? ": too old for this build: " : ": too new for this build: ") + what),
      file(std::move(file)),
      age(age) {}

StorageError::StorageError(int error_number, std::string path, const std::string& doing)
    : Error(path + ": " + doing + ": " + std::strerror(error_number)), error_number(error_number), path(std::move(path)) {}

LockedError::LockedError(std::string path, int64_t pid, std::string host)
    : Error(path + ": open for writing in " + holder(pid, host) + "; open with read_only=True, or close the writer first"),
      path(std::move(path)),
      pid(pid),
      host(std::move(host)) {}

}  // namespace lamina
