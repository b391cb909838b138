// SHA-256 by Python's hashlib.
#pragma once

#include "segment/hasher.h"

namespace lamina {

// Immutable; takes the GIL for each call. hashlib is imported on the first.
class HashlibHasher final : public Hasher {
 public:
  Digest digest(Bytes bytes) const override;
};

}  // namespace lamina
