#include "store/garbage.h"

#include <algorithm>
#include <exception>
#include <limits>

#include "base/error.h"
#include "base/mutant.h"
#include "store/kept.h"

namespace lamina {
namespace {

std::optional<uint64_t> number_of(const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  const auto log = number_in_name(name, kLogFile);
  return log ? log : number_of_file(name);
}

}  // namespace

std::vector<std::string> Garbage::list() const {
  std::vector<std::string> paths;
  const StorePaths& store = files_.paths();
  for (const std::string& directory : {store.logs, store.files}) {
    for (const std::string& name : files_.fs().list(directory)) {
      const std::string path = join(directory, name);
      if (number_of(path)) paths.push_back(path);
    }
  }
  return paths;
}

CleanupReport Garbage::sweep(const std::vector<std::string>& listed, const Root& newest,
                             const std::set<uint64_t>& unsettled, int64_t since_us) {
  CleanupReport report;
  std::set<uint64_t> named = named_by(newest);
  if (!is_off("spare files that a root will name")) named.insert(unsettled.begin(), unsettled.end());
  const std::exception_ptr unknown = drop_older(newest, since_us, named, report);
  if (unknown) std::rethrow_exception(unknown);
  add_stand_ins(newest, named);
  std::erase_if(of_manifest_, [&](const auto& entry) { return !named.contains(entry.first); });
  const std::vector<std::string> unneeded = unnamed(listed, named);
  if (unneeded.empty()) return report;
  files_.fs().sync_directory(files_.paths().roots);  // else a power cut might bring back a root without its files
  for (const std::string& path : unneeded) {
    report.bytes += files_.fs().open(path)->size();
    files_.fs().remove(path);
    ++report.files;
  }
  return report;
}

// Adds to `named` what those name that stay. The answer is damage that hides some of it, if any does.
std::exception_ptr Garbage::drop_older(const Root& newest, int64_t since_us, std::set<uint64_t>& named,
                                       CleanupReport& report) {
  std::vector<uint64_t> older = roots_.list();
  std::erase_if(older, [&](uint64_t seq) { return seq >= newest.seq; });
  std::ranges::reverse(older);
  Root next = newest;
  oldest_end_us_ = 0;
  std::exception_ptr unknown;
  for (const uint64_t seq : older) {
    std::optional<Root> root;
    std::exception_ptr damage;
    try {
      auto stored = roots_.read(seq);
      if (!stored) continue;
      root = std::move(stored->root);
    } catch (const CorruptionError&) {
      damage = std::current_exception();
    }
    const bool needed = next.time_us > since_us && !(root && is_contained(*root, next));
    if (!needed && files_.fs().try_lock_and_remove(files_.paths().root_file(seq))) continue;
    if (!needed) ++report.pinned;
    try {
      if (root) named.merge(named_by(*root));
    } catch (const CorruptionError&) {
      damage = std::current_exception();
    }
    if (damage) unknown = damage;
    if (!needed || !root) continue;
    oldest_end_us_ = next.time_us;
    next = std::move(*root);
  }
  return unknown;
}

int64_t Garbage::next_due_us(int64_t keep_us) const {
  if (oldest_end_us_ == 0 || keep_us > std::numeric_limits<int64_t>::max() - oldest_end_us_) {
    return std::numeric_limits<int64_t>::max();
  }
  return oldest_end_us_ + keep_us;
}

const std::vector<Garbage::Named>& Garbage::of_manifest(const FileRef& ref) {
  const auto known = of_manifest_.find(ref.number);
  if (known != of_manifest_.end()) return known->second;
  const Manifest manifest = files_.manifest(ref);
  std::vector<Named> named = {{ref.number, ref.size}};
  const auto add = [&](const std::vector<SegmentRef>& segments) {
    for (const SegmentRef& segment : segments) {
      named.push_back({segment.file.number, segment.file.size});
      if (segment.deleted) named.push_back({segment.deleted->number, segment.deleted->size});
    }
  };
  add(manifest.records);
  for (const Generation& generation : manifest.generations) add(generation.segments);
  return of_manifest_.emplace(ref.number, std::move(named)).first->second;
}

std::set<uint64_t> Garbage::named_by(const Root& root) {
  std::set<uint64_t> named = {root.log.number};
  const auto add = [&](const FileRef& manifest) {
    for (const Named& one : of_manifest(manifest)) named.insert(one.number);
  };
  for (const Root::Collection& collection : root.collections) add(collection.manifest);
  for (const Root::Tag& tag : root.tags) add(tag.manifest);
  return named;
}

uint64_t Garbage::history_bytes(const Root& newest) {
  std::set<uint64_t> counted = {newest.log.number};
  for (const Root::Collection& collection : newest.collections) {
    for (const Named& one : of_manifest(collection.manifest)) counted.insert(one.number);
  }
  uint64_t bytes = 0;
  const auto add = [&](const FileRef& manifest) {
    for (const Named& one : of_manifest(manifest)) bytes += counted.insert(one.number).second ? one.bytes : 0;
  };
  for (const Root::Tag& tag : newest.tags) add(tag.manifest);
  for (const uint64_t seq : roots_.list()) {
    const auto stored = seq < newest.seq ? roots_.read(seq) : std::nullopt;
    if (!stored) continue;
    bytes += encode_root(stored->root).size();
    if (counted.insert(stored->root.log.number).second) {
      bytes += files_.fs().open(files_.paths().log_file(stored->root.log.number))->size();
    }
    for (const Root::Collection& collection : stored->root.collections) add(collection.manifest);
  }
  return bytes;
}

void add_stand_ins(const Root& newest, std::set<uint64_t>& named) {
  for (const Root::StandIn& one : newest.stand_ins) {
    if (named.contains(one.damaged)) named.insert(one.file.number);
  }
}

uint64_t sweep_leftovers(OpenFiles& files, uint64_t next_file) {
  uint64_t swept = 0;
  const StorePaths& store = files.paths();
  try {
    for (const std::string& directory : {store.scratch, store.logs, store.files}) {
      for (const std::string& name : files.fs().list(directory)) {
        const std::string path = join(directory, name);
        if (directory != store.scratch && number_of(path).value_or(0) < next_file) continue;
        files.fs().remove(path);
        ++swept;
      }
    }
  } catch (const StorageError&) {  // what resists is swept another time
  }
  return swept;
}

std::vector<std::string> unnamed(const std::vector<std::string>& listed, const std::set<uint64_t>& named) {
  std::vector<std::string> paths;
  std::ranges::copy_if(listed, std::back_inserter(paths),
                       [&](const std::string& path) { return !named.contains(*number_of(path)); });
  return paths;
}

}  // namespace lamina
