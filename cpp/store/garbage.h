// What no root names, removed. A root that a reader holds keeps what it names.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "segment/root.h"
#include "store/files.h"
#include "store/root_store.h"

namespace lamina {

class Garbage {
 public:
  Garbage(OpenFiles& files, const RootStore& roots) : files_(files), roots_(roots) {}

  // Numbers of all files and logs that `root` names, directly or by its manifests.
  std::set<uint64_t> named_by(const Root& root);
  // Removes the older roots that nobody holds, and then the files and logs that neither `newest`, nor an older root
  // that is left, nor `unsettled` names. Returns how many files and logs. A failure leaves some of them there.
  uint64_t sweep(const Root& newest, const std::set<uint64_t>& unsettled);
  uint64_t sweep_scratch();
  // Files and logs of the store's directory that none of `named` is, by path.
  std::vector<std::string> unnamed(const std::set<uint64_t>& named) const;

 private:
  OpenFiles& files_;
  const RootStore& roots_;
  std::map<uint64_t, std::vector<uint64_t>> of_manifest_;  // by its own number: what it names
};

}  // namespace lamina
