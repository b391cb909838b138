// The hash that ties files together. It is handed in, so that this core carries none: hashlib's SHA-256 from Python.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"

namespace lamina {

using Digest = std::array<std::byte, 32>;

// Threads: digest() may be called from any thread that calls into lamina, never from a pool thread.
struct Hasher {
  virtual ~Hasher() = default;
  virtual Digest digest(Bytes bytes) const = 0;
};

// What a reference to a file carries. The digest is defined by the kind of the file (FORMAT.md).
struct FileRef {
  uint64_t number = 0;
  uint64_t size = 0;
  Digest digest{};
  bool operator==(const FileRef&) const = default;
};

}  // namespace lamina
