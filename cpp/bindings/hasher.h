// SHA-256 by Python's standard library.
#pragma once

#include "segment/hasher.h"

namespace lamina {

// Immutable; takes the GIL for each call.
class PythonHasher final : public Hasher {
 public:
  Digest digest(Bytes bytes) const override;
};

}  // namespace lamina
