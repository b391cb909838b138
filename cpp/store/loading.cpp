#include "store/loading.h"

#include <algorithm>
#include <limits>
#include <map>

#include "base/error.h"
#include "base/mutant.h"
#include "segment/format.h"
#include "store/replay.h"

namespace lamina {

LoadedLog open_log(OpenFiles& files, const Root& root) {
  LoadedLog log;
  log.path = files.paths().log_file(root.log.number);
  if (!files.fs().exists(log.path)) throw CorruptionError(log.path, 0, "the log that the newest root names", "no file");
  log.mapping = files.fs().map(log.path);
  log.header = decode_log_header(log.mapping->bytes(), log.path, root.store, root.log.number);
  if (log.header.timeline != root.timeline) {
    throw CorruptionError(log.path, 0, "timeline " + std::to_string(root.timeline),
                          std::to_string(log.header.timeline));
  }
  if (root.log.start < kLogHeaderBytes || root.log.start % kFrameAlignment != 0) {
    throw CorruptionError(files.paths().root_file(root.seq), 0, "a start behind the log's header",
                          std::to_string(root.log.start));
  }
  return log;
}

LoadedLog open_log_to(OpenFiles& files, const Root& root, uint64_t end) {
  LoadedLog log = open_log(files, root);
  log.scan = scan_log(log.mapping->bytes(), log.header, root.log.start, end);
  log.mapping->require_whole();
  if (log.scan.end == end) return log;
  throw CorruptionError(log.path, log.scan.end, "whole frames up to " + std::to_string(end), "none at this place");
}

LoadedLog closed_log(OpenFiles& files, const RootStore& roots, const Root& root) {
  LoadedLog log = open_log(files, root);
  const Bytes bytes = log.mapping->bytes();
  log.scan = scan_log(bytes, log.header, root.log.start, bytes.size());
  log.mapping->require_whole();
  DurableProof proof{root.log.end, 0, root.version};
  for (const uint64_t seq : roots.list()) {
    const auto later = seq > root.seq ? roots.read(seq) : std::nullopt;
    if (!later) continue;
    const LogWitness& shown = later->root.log;
    if (shown.number == root.log.number) proof.position = shown.end;
    if (shown.previous == root.log.number) proof.position = shown.previous_end;
    if (shown.number != root.log.number) break;
  }
  log.cut = judge_tail(bytes, log.header, log.path, log.scan, proof);
  return log;
}

void read_to_end(LoadedLog& log, const Root& root, const LockNote* note) {
  const Bytes bytes = log.mapping->bytes();
  log.scan = scan_log(bytes, log.header, root.log.start, std::numeric_limits<uint64_t>::max());
  log.mapping->require_whole();  // a page that cannot be read is no torn tail
  if (note != nullptr && note->log_number > root.log.number) {
    throw CorruptionError(log.path, 0, "a root that names log " + hex(note->log_number), "an older one");
  }
  if (!root.log.clean) {
    DurableProof proof{root.log.end, 0, root.version};
    // The last frame of a killed writer is in doubt, torn or damaged alike; those before it must be there.
    const bool shown = note != nullptr && note->log_number == root.log.number && note->durable_version > 0;
    if (shown && !is_off("proof of the note")) proof.version = note->durable_version - 1;
    log.last_missing = shown && log.scan.version(root.version) < note->durable_version;
    log.cut = judge_tail(bytes, log.header, log.path, log.scan, proof);
    return;
  }
  if (log.scan.end != root.log.end || bytes.size() != root.log.end) {
    throw CorruptionError(
        log.path, log.scan.end, "a log that was closed at offset " + std::to_string(root.log.end),
        "whole frames up to " + std::to_string(log.scan.end) + ", in " + std::to_string(bytes.size()) + " bytes");
  }
  if (log.scan.witness != root.log.witness && !is_off("witness")) {
    throw CorruptionError(log.path, log.scan.end, "last frame " + hex(uint64_t{root.log.witness}),
                          hex(uint64_t{log.scan.witness}));
  }
}

void require_fit(const LoadedLog& log, const Root& root) {
  if (follows(root.version, root.timeline, log.scan.frames)) return;
  throw CorruptionError(log.path, root.log.start, "versions without a gap behind root " + std::to_string(root.seq),
                        "one that is missing");
}

Collections unopened_collections(OpenFiles& files, const Root& root, const std::shared_ptr<const void>& pin) {
  Collections collections;
  for (const Root::Collection& entry : root.collections) {
    collections[entry.id] = std::make_shared<CollectionState>(files, entry, pin);
  }
  return collections;
}

void replay(const LoadedLog& log, const Root& root, const Collections& collections) {
  std::map<uint64_t, LogFrames> named;
  for (const LogFrame& frame : log.scan.frames) {
    for (const uint64_t id : collections_of(frame, log.path)) {
      if (!collections.contains(id) && id >= root.next_collection) {
        throw CorruptionError(log.path, frame.offset, "a collection below " + std::to_string(root.next_collection),
                              std::to_string(id));
      }
      named[id].frames.push_back(frame);
    }
  }
  for (auto& [id, frames] : named) {
    const auto found = collections.find(id);
    if (found == collections.end()) continue;  // dropped since
    frames.mapping = log.mapping;
    frames.file = log.path;
    found->second->take(std::move(frames));
    found->second->show();
  }
}

}  // namespace lamina
