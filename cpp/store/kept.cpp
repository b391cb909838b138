#include "store/kept.h"

#include <algorithm>
#include <set>

#include "base/error.h"

namespace lamina {
namespace {

std::string quoted(const std::string& name) { return "'" + name + "'"; }

// What the newest root names.
std::vector<KeptManifest> manifests_of(const Root& root) {
  std::vector<KeptManifest> manifests;
  for (const Root::Collection& entry : root.collections) {
    manifests.push_back({entry, "collection " + quoted(entry.name)});
  }
  for (const Root::Tag& tag : root.tags) {
    Root::Collection entry = *std::ranges::find(root.collections, tag.collection, &Root::Collection::id);
    entry.version = tag.version;
    entry.manifest = tag.manifest;
    manifests.push_back({entry, "tag " + quoted(tag.name) + " of " + quoted(entry.name)});
  }
  return manifests;
}

// What an older one names: its tags are in the newest, or nobody's any more.
std::vector<KeptManifest> older_manifests_of(const Root& root) {
  std::vector<KeptManifest> manifests;
  for (const Root::Collection& entry : root.collections) {
    manifests.push_back({entry, "version " + std::to_string(entry.version) + " of " + quoted(entry.name)});
  }
  return manifests;
}

}  // namespace

void for_each_kept(const RootStore& roots, const StoredRoot& newest, const VisitKept& visit,
                   const std::function<void(const CorruptionError&)>& damaged) {
  std::set<uint64_t> seen;
  const auto visit_fresh = [&](const Root& root, std::vector<KeptManifest> manifests) {
    std::erase_if(manifests, [&](const KeptManifest& one) { return !seen.insert(one.entry.manifest.number).second; });
    visit(root, manifests);
  };
  visit_fresh(newest.root, manifests_of(newest.root));
  Root next = newest.root;
  std::vector<uint64_t> older = roots.list();
  std::erase_if(older, [&](uint64_t seq) { return seq >= newest.root.seq; });
  std::ranges::reverse(older);
  for (const uint64_t seq : older) {
    std::optional<StoredRoot> stored;
    try {
      stored = roots.read(seq);
    } catch (const CorruptionError& error) {
      damaged(error);
    }
    if (!stored || is_contained(stored->root, next)) continue;
    visit_fresh(stored->root, older_manifests_of(stored->root));
    next = stored->root;
  }
}

bool is_contained(const Root& root, const Root& next) {
  return std::ranges::all_of(root.collections, [&](const Root::Collection& entry) {
    const auto same = std::ranges::find(next.collections, entry.id, &Root::Collection::id);
    return same != next.collections.end() && same->manifest == entry.manifest;
  });
}

}  // namespace lamina
