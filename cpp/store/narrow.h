// A filter makes a narrower snapshot. Deletion and filter are one path: all that reads a snapshot, searches, scans and
// counts, then works on the records that pass.
#pragma once

#include <memory>
#include <span>

#include "base/bitmap.h"
#include "store/store.h"

namespace lamina {

// The same version without the records of some rows, deleted or not, and without their vectors in each generation.
// `failing` has a bitmap of them for each record part in order, and one of the head's rows. std::invalid_argument if it
// has not, or one is of another size. The vectors are looked through when they are first asked for: CorruptionError.
std::shared_ptr<const Snapshot> narrow(const Snapshot& snapshot, std::span<const Bitmap> failing);

}  // namespace lamina
