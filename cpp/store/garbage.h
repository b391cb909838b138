// What no root needs, removed: older roots whose versions are past their time, and then the files that no root names.
// A root that a reader holds stays, with what it names.
#pragma once

#include <cstdint>
#include <exception>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "segment/root.h"
#include "store/files.h"
#include "store/root_store.h"
#include "store/store.h"

namespace lamina {

// One thread at a time.
class Garbage {
 public:
  Garbage(OpenFiles& files, const RootStore& roots) : files_(files), roots_(roots) {}

  // Files and logs of the store's directory, by path. What is published or given up later is not among them.
  std::vector<std::string> list() const;

  // Removes older roots that give no version which was the newest after `since_us`, and then those of `listed` that
  // neither `newest`, nor a root that is left, nor `unsettled` names. `newest` and `unsettled` are of after the
  // listing; other roots may be published meanwhile. A failure leaves some of it there; CorruptionError removes no
  // file: what a damaged root or manifest names is not known, as long as it is not itself removed.
  CleanupReport sweep(const std::vector<std::string>& listed, const Root& newest, const std::set<uint64_t>& unsettled,
                      int64_t since_us);
  // When the next root that the last sweep has left will have had its time, if all of it is `keep_us`.
  int64_t next_due_us(int64_t keep_us) const;

  // Numbers of all files and logs that `root` names, directly or by its manifests.
  std::set<uint64_t> named_by(const Root& root);
  // Bytes of what `older` roots and tags name and `newest` does not.
  uint64_t history_bytes(const Root& newest);

 private:
  struct Named {
    uint64_t number;
    uint64_t bytes;
  };
  const std::vector<Named>& of_manifest(const FileRef& manifest);
  std::exception_ptr drop_older(const Root& newest, int64_t since_us, std::set<uint64_t>& named, CleanupReport& report);

  OpenFiles& files_;
  const RootStore& roots_;
  std::map<uint64_t, std::vector<Named>> of_manifest_;  // by its own number: what it names
  int64_t oldest_end_us_ = 0;  // when the oldest root that is left had its successor; zero: it has none
};

// Of what the newest root has stand-ins for, those whose stand-in is needed because they are named.
void add_stand_ins(const Root& newest, std::set<uint64_t>& named);

// Removes what a crash has left: all of scratch/, and files and logs with numbers that no root has given. Returns how
// many there were; once one resists, the rest stays.
uint64_t sweep_leftovers(OpenFiles& files, uint64_t next_file);

// Files and logs of the store's directory that none of `named` is, by path.
std::vector<std::string> unnamed(const std::vector<std::string>& listed, const std::set<uint64_t>& named);

}  // namespace lamina
