// Every byte, digest and count of a store, looked at anew.
#pragma once

#include "store/loading.h"
#include "store/record_codec.h"
#include "store/root_store.h"
#include "store/store.h"

namespace lamina {

// All that `root` names and the log behind it; CorruptionError at the first damage. `files` has nothing open yet.
VerifyReport verify_all(OpenFiles& files, const Root& root, const LoadedLog& log, const RecordCodec& codec);

// Nothing lies in the store's directories that no root names. REQUIRES: nobody is changing the store.
void require_all_named(OpenFiles& files, const RootStore& roots);

}  // namespace lamina
