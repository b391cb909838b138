// From the newest root and the log behind it to collections: what a writer's recovery, a reader's reload and verify
// have in common.
//
// A state is (root, version). The root names, per collection, a manifest with the version up to which frames are in
// its segments; replay takes all frames of the root's log from its `start` on and leaves out, per collection, those up
// to that version. Each frame, and each structural change, took the next version of one counter, and a structural
// change is published before the frame behind it is written. So:
//   - a frame at or below the root's version may follow a gap: what took the version is in the root;
//   - a frame above it never does, unless there is a newer root;
//   - a frame of a collection that the root lacks is of one dropped since, unless its id was not given yet.
#pragma once

#include <memory>
#include <string>

#include "io/file.h"
#include "store/collection_state.h"
#include "store/log.h"
#include "store/root_store.h"

namespace lamina {

// The log that a root names, as far as it counts. `scan.frames` view the mapping.
struct LoadedLog {
  std::string path;
  std::shared_ptr<const Mapping> mapping;
  LogHeader header;
  LogScan scan;
  uint64_t cut = 0;           // bytes behind the end that do not count
  bool last_missing = false;  // the writer's note names one version more
};

// Maps the log and reads its header. CorruptionError, also if there is none.
LoadedLog open_log(OpenFiles& files, const Root& root);
// With its frames, which must reach to `end`.
LoadedLog open_log_to(OpenFiles& files, const Root& root, uint64_t end);
// The same of a log that a newer root has left behind: to its end, or, where a crash has torn that, as far as it
// counts.
LoadedLog closed_log(OpenFiles& files, const RootStore& roots, const Root& root);

// Reads the log of a store that nobody writes to. A clean root bears witness to its end, and nothing else will do;
// otherwise it ends with its last whole frame, as long as nothing proves that there were more (`note`: of the last
// writer, if any).
void read_to_end(LoadedLog& log, const Root& root, const LockNote* note);

// What every root and the log behind it must fulfil. CorruptionError.
void require_fit(const LoadedLog& log, const Root& root);

// The collections of a root, each to be opened on first use; `pin` keeps what the root names until then, if anything
// must. They use `files`.
Collections unopened_collections(OpenFiles& files, const Root& root, const std::shared_ptr<const void>& pin);
// Gives the frames to the collections that they name, and shows these. CorruptionError, also for a collection that
// never was.
void replay(const LoadedLog& log, const Root& root, const Collections& collections);

}  // namespace lamina
