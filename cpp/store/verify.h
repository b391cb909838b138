// Every byte, digest and count of a store, looked at anew.
#pragma once

#include "store/loading.h"
#include "store/record_codec.h"
#include "store/root_store.h"
#include "store/store.h"

namespace lamina {

// All that `newest`, older roots and tags name, and the logs behind them; CorruptionError at the first damage, which
// says what needs the file. `log` is that of `newest`; `files` has nothing open yet. Segments and older logs come one
// after another, those of the newest versions first, then the newest log and all rows in one go, which makes it
// complete; between two of these it stops when its time is up, and leaves a note for the one that resumes.
VerifyReport verify_all(OpenFiles& files, const RootStore& roots, const StoredRoot& newest, const LoadedLog& log,
                        const RecordCodec& codec, const VerifyOptions& options);

// Every byte of it, its columns included.
void verify_records(const RecordSegment& segment, const Hasher& hasher, const RecordCodec& codec);
// Its columns alone, as the codec sees them.
void verify_columns(const RecordSegment& segment, const RecordCodec& codec);

// Nothing lies in the store's directories that no root names, as far as roots and manifests check. REQUIRES: nobody is
// changing the store.
void require_all_named(OpenFiles& files, const RootStore& roots);

}  // namespace lamina
