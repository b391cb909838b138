// Frames of the log, applied to a collection. A frame says what became of each rid, not what was asked for, so that
// applying the frames behind a state, in order, gives the same rows whoever does it.
#pragma once

#include <span>
#include <string>

#include "segment/log_format.h"
#include "store/collection_state.h"

namespace lamina {

// One operation of a write that was checked when it was made. `found`: what its rids had before, if it is a put. A
// failure (memory) leaves the sets half done.
void apply(CollectionState& collection, const Operation& operation, const FoundRecords& found, int threads);

// Whether `frames` go on from a state of this version: versions ascend, and behind the state's none is missing. One is
// when a structural change has taken it, that is, when there is a newer root.
bool follows(uint64_t version, uint32_t timeline, std::span<const LogFrame> frames);

// What the frames, from a file, say of this collection: records frame by frame, vectors only as they are in the end and
// in one go. CorruptionError if a frame does not fit what is there, FormatVersionError; the sets are half done then.
// REQUIRES: all of the frames are newer than what the sets hold.
void replay(CollectionState& collection, std::span<const LogFrame> frames, const std::string& file);

}  // namespace lamina
