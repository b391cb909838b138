// The errors that cross every room. One base, `Error`; the subclasses mirror the Python exceptions of the
// same name (bindings translate by type, nothing else). A message says what was wrong with which value, and
// what to do about it. Plain misuse by a caller of ours is std::invalid_argument (ValueError in Python).
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

namespace lamina {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class DimensionMismatchError : public Error {
 public:
  using Error::Error;
};

class ModelMismatchError : public Error {
 public:
  using Error::Error;
};

// NaN or infinity in a vector.
class InvalidVectorError : public Error {
 public:
  using Error::Error;
};

class DuplicateIdError : public Error {
 public:
  using Error::Error;
};

class NotFoundError : public Error {
 public:
  using Error::Error;
};

// `if_version` did not hold.
class ConflictError : public Error {
 public:
  using Error::Error;
};

// The collection's migration is at another stage than the one that the step starts from.
class MigrationStateError : public Error {
 public:
  using Error::Error;
};

class ClosedError : public Error {
 public:
  using Error::Error;
};

class ReadOnlyError : public Error {
 public:
  using Error::Error;
};

// The bytes of a file are not what was written.
class CorruptionError : public Error {
 public:
  CorruptionError(std::string file, uint64_t offset, std::string expected, std::string found);

  const std::string file;
  const uint64_t offset;
  const std::string expected;
  const std::string found;
};

// The file is whole, but of a format that this build cannot read.
class FormatVersionError : public Error {
 public:
  enum class Age { kTooOld, kTooNew };
  FormatVersionError(std::string file, Age age, const std::string& what);

  const std::string file;
  const Age age;
};

// The operating system refused: disk full, I/O error, or a handle poisoned by a failed sync.
class StorageError : public Error {
 public:
  StorageError(int error_number, std::string path, const std::string& doing);

  const int error_number;
  const std::string path;
};

// Another process (or handle) holds the writer's lock, or reads what is to be removed.
class LockedError : public Error {
 public:
  LockedError(std::string path, int64_t pid, std::string host);
  LockedError(std::string path, const std::string& why);  // by somebody whom nobody knows: pid 0

  const std::string path;
  const int64_t pid;
  const std::string host;
};

}  // namespace lamina
