// How a collection stands between two models, as its manifest keeps it.
#pragma once

#include <cstdint>
#include <string>

namespace lamina {

// What the second generation is there for. The numbers are written to files.
enum class MigrationStage : uint8_t {
  kNone = 0,      // there is none
  kBackfill = 1,  // it is being filled
  kCutOver = 2,   // it was served before, and can be again
};

struct Migration {
  MigrationStage stage = MigrationStage::kNone;
  uint64_t cut_overs = 0;  // how often another generation came to be served: once one did, vectors without a model's
                           // name are nobody's
  std::string note;        // the caller's own bytes
  bool operator==(const Migration&) const = default;
};

}  // namespace lamina
