// All that a store keeps: what the newest root names, and what older roots and tags do.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "store/root_store.h"

namespace lamina {

class CorruptionError;

// A collection at one of its manifests, and in words what needs that.
struct KeptManifest {
  Root::Collection entry;
  std::string needed_by;
};

// Visits `newest`, which the caller goes by, and then each older root that gives something, the newest first, with the
// manifests that none before it has named. Each is held meanwhile, so that what it names is not removed. An older root
// that does not check goes to `damaged`.
using VisitKept = std::function<void(const Root& root, const std::vector<KeptManifest>& manifests)>;
void for_each_kept(const RootStore& roots, const StoredRoot& newest, const VisitKept& visit,
                   const std::function<void(const CorruptionError&)>& damaged);

// Whether all that `root` gives is to be had from `next` too: a manifest that is handed on has the same `since`.
bool is_contained(const Root& root, const Root& next);

}  // namespace lamina
