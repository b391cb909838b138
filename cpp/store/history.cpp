#include "store/history.h"

#include <algorithm>
#include <map>

#include "base/error.h"

namespace lamina {

History::History(OpenFiles& files, const RootStore& roots, KnownState known, uint64_t collection,
                 std::shared_ptr<const Snapshot> live)
    : files_(files), roots_(roots), known_(std::move(known)), id_(collection), live_(std::move(live)) {}

LoadedLog History::log_of(const Root& root) const {
  if (root.log.number != known_.newest.root.log.number) return closed_log(files_, roots_, root);
  return open_log_to(files_, root, known_.log_end);
}

const Root::Collection* History::entry_in(const Root& root) const {
  const auto found = std::ranges::find(root.collections, id_, &Root::Collection::id);
  return found == root.collections.end() ? nullptr : &*found;
}

std::vector<StoredRoot> History::kept_roots() const {
  std::vector<StoredRoot> kept;
  for (const uint64_t seq : roots_.list()) {
    if (seq > known_.newest.root.seq) break;
    auto stored = roots_.read(seq);
    const Root::Collection* entry = stored ? entry_in(stored->root) : nullptr;
    if (entry == nullptr) continue;
    // The later root gives all that the earlier did, whose log may even be one that a crash has torn.
    if (!kept.empty() && entry_in(kept.back().root)->manifest == entry->manifest) kept.pop_back();
    kept.push_back(std::move(*stored));
  }
  return kept;
}

std::vector<VersionInfo> History::versions() const {
  struct Reach {
    const Root* root;
    uint64_t since;
  };
  const std::vector<StoredRoot> kept = kept_roots();
  std::map<uint64_t, VersionInfo> found;
  std::map<uint64_t, Reach> logs;
  const auto note = [&](uint64_t version, int64_t time_us) -> VersionInfo& {
    return found.try_emplace(version, VersionInfo{version, time_us, {}}).first->second;
  };
  for (const StoredRoot& stored : kept) {
    const Root::Collection& entry = *entry_in(stored.root);
    note(entry.version, entry.time_us);
    Reach& reach = logs.try_emplace(stored.root.log.number, Reach{&stored.root, entry.since}).first->second;
    reach.since = std::min(reach.since, entry.since);
  }
  for (const auto& [number, reach] : logs) {
    const LoadedLog log = log_of(*reach.root);
    for (const LogFrame& frame : log.scan.frames) {
      if (frame.version < reach.since || frame.version > live_->version) continue;
      if (std::ranges::count(collections_of(frame, log.path), id_) > 0) note(frame.version, frame.time_us);
    }
  }
  for (const Root::Tag& tag : known_.newest.root.tags) {
    if (tag.collection == id_) note(tag.version, tag.time_us).tags.push_back(tag.name);
  }
  std::vector<VersionInfo> all;
  for (auto& [version, info] : found) all.push_back(std::move(info));
  return all;
}

void History::refuse(const std::string& wanted) const {
  const std::vector<VersionInfo> kept = versions();
  throw NotFoundError(wanted + " is not kept: of this collection there are versions from " +
                      std::to_string(kept.front().version) + " to " + std::to_string(kept.back().version));
}

std::optional<PastState> History::find(const VersionRef& wanted) const {
  if (wanted.tag) {
    const auto tag = std::ranges::find_if(known_.newest.root.tags, [&](const Root::Tag& one) {
      return one.collection == id_ && one.name == *wanted.tag;
    });
    if (tag == known_.newest.root.tags.end()) throw NotFoundError("there is no tag '" + *wanted.tag + "'");
    return at_tag(*tag);
  }
  if (!wanted.version && !wanted.time_us) return {};
  const uint64_t version = wanted.version ? *wanted.version : version_at(*wanted.time_us);
  if (version > known_.version) refuse("version " + std::to_string(version));
  if (version >= live_->version) return {};
  if (auto past = at_version(version)) return past;
  refuse("version " + std::to_string(version));
}

std::shared_ptr<const Snapshot> History::snapshot(const VersionRef& wanted) const {
  const std::optional<PastState> past = find(wanted);
  if (!past) return live_;
  auto snapshot = std::make_shared<Snapshot>(*past->collection->handle->snapshot());
  snapshot->pin = past->pin;
  return snapshot;
}

uint64_t History::version_at(int64_t time_us) const {
  const std::vector<VersionInfo> all = versions();
  const auto last = std::find_if(all.rbegin(), all.rend(), [&](const auto& one) { return one.time_us <= time_us; });
  if (last == all.rend()) refuse("what was before the oldest version");
  return last->version;
}

int64_t History::time_of(uint64_t version) const {
  for (const VersionInfo& one : versions()) {
    if (one.version == version) return one.time_us;
  }
  return 0;  // it was superseded too long ago for anybody to know
}

std::optional<PastState> History::at_version(uint64_t version) const {
  std::vector<uint64_t> seqs = roots_.list();
  std::ranges::reverse(seqs);
  for (const uint64_t seq : seqs) {
    if (seq > known_.newest.root.seq) continue;
    auto stored = roots_.read(seq);
    if (!stored) continue;
    const Root::Collection* entry = entry_in(stored->root);
    if (entry != nullptr && entry->since <= version) return replayed(std::move(*stored), version);
  }
  for (const Root::Tag& tag : known_.newest.root.tags) {
    if (tag.collection == id_ && tag.version == version) return at_tag(tag);
  }
  return {};
}

PastState History::replayed(StoredRoot stored, uint64_t version) const {
  const Root& root = stored.root;
  const Root::Collection entry = *entry_in(root);
  LoadedLog log = log_of(root);
  std::erase_if(log.scan.frames, [&](const LogFrame& frame) {
    return frame.version > version || std::ranges::count(collections_of(frame, log.path), id_) == 0;
  });
  const auto collection = std::make_shared<CollectionState>(files_, entry, stored.pin);
  collection->take({log.mapping, log.path, std::move(log.scan.frames)});
  collection->open();
  if (collection->version > version) {  // the root is of a later one, which its log leads to
    collection->version = collection->last_frame;
    collection->time_us = time_of(collection->version);
  }
  collection->show();
  return {collection, stored.pin};
}

PastState History::at_tag(const Root::Tag& tag) const {
  Root::Collection entry{.id = id_, .name = tag.name};
  entry.version = tag.version;
  entry.time_us = tag.time_us;
  entry.manifest = tag.manifest;
  auto collection = open_collection(files_, entry);
  collection->show();
  return {std::move(collection), known_.newest.pin};
}

}  // namespace lamina
