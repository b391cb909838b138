// What is true after a crash, in this order:
//   1. The newest root in roots/ is the state of the structure. It was published whole, so one that does not check is
//      damage, never a reason to take an older one. What it does not name is a leftover: swept, never looked into.
//   2. Its log holds what was written since. The first frame that does not check ends it: torn, or damaged, by
//      judge_tail(). A clean root says where the log ends, and then nothing is torn.
//   3. A frame that is found whole may never have reached the disk, whatever the page cache shows (a failed sync, a
//      killed writer). So the frames that count are copied into a fresh log, which is synced before a root names it;
//      only then are they acknowledged, and the old log goes.
// A crash on the way leaves the old root and the old log, or the new ones, and leftovers.
#include "store/recovery.h"

#include <algorithm>

#include "base/mutant.h"
#include "segment/format.h"
#include "store/garbage.h"

namespace lamina {
namespace {

constexpr uint32_t kFirstTimeline = 1;

// A number that a leftover has is not taken again, should it resist being swept.
void step_over_leftovers(OpenFiles& files, FileNumbers& numbers) {
  for (const std::string& name : files.fs().list(files.paths().files)) {
    if (const auto number = number_of_file(name)) numbers.at_least(*number + 1);
  }
  for (const std::string& name : files.fs().list(files.paths().logs)) {
    if (const auto number = number_in_name(name, kLogFile)) numbers.at_least(*number + 1);
  }
}

// This process as the holder of the lock, beside what the last one showed of the log: that is still proof.
void take_over_note(FileLock& lock, const StoreId& store, const std::optional<LockNote>& last) {
  LockNote note = last.value_or(LockNote{});
  note.store = store;
  write_note(lock, note);
}

std::unique_ptr<Log> copy_log(OpenFiles& files, NewFiles& added, const LoadedLog& old) {
  auto copy = Log::create(files.fs(), files.paths(), {old.header.store, added.add_log(), old.header.timeline});
  for (const LogFrame& frame : old.scan.frames) copy->append(frame.version, frame.time_us, frame.payload);
  return copy;  // synced when a root is published
}

Recovery report_on(const LoadedLog& log, const Root& root) {
  Recovery report;
  report.clean = root.log.clean;
  report.frames_replayed = log.scan.frames.size();
  report.bytes_cut = log.cut;
  if (report.clean) return report;
  report.note = "the last writer did not close the store; " + std::to_string(report.frames_replayed) +
                " writes were read back from its log";
  if (log.cut > 0) report.note += ", and an unfinished one of " + std::to_string(log.cut) + " bytes was cut off";
  if (log.last_missing) report.note += "; the last one that had been acknowledged does not read back and is lost";
  return report;
}

}  // namespace

Recovered begin_store(OpenFiles& files, const RootStore& roots, FileNumbers& numbers, std::unique_ptr<FileLock> lock) {
  StoredRoot nothing;
  nothing.root.store = random_segment_id();
  nothing.root.timeline = kFirstTimeline;
  take_over_note(*lock, nothing.root.store, {});
  step_over_leftovers(files, numbers);
  NewFiles added(files, numbers);
  auto log = Log::create(files.fs(), files.paths(), {nothing.root.store, added.add_log(), kFirstTimeline});
  Recovered recovered;
  recovered.ledger =
      std::make_unique<Ledger>(files, roots, numbers, std::move(lock), std::move(nothing), std::move(log), 0);
  recovered.ledger->publish(recovered.ledger->next_root(false), added);
  recovered.ledger->show();
  return recovered;
}

Recovered recover(OpenFiles& files, const RootStore& roots, FileNumbers& numbers, std::unique_ptr<FileLock> lock) {
  StoredRoot stored = roots.newest().value();
  stored.pin.reset();                              // the lock is ours: nobody else removes anything
  files.fs().sync_directory(files.paths().roots);  // its writer may have been killed before, and older ones go now
  const Root root = stored.root;
  numbers.at_least(root.next_file);
  step_over_leftovers(files, numbers);
  const std::optional<LockNote> note = read_note(files.fs(), files.paths(), root.store);
  take_over_note(*lock, root.store, note);

  files.follow(root);
  Recovered recovered;
  recovered.collections = unopened_collections(files, root, nullptr);
  if (!stored.writable) {
    too_new(files.paths().root_file(root.seq),
            "a feature that this build can only read past: open the store read-only");
  }
  LoadedLog loaded = open_log(files, root);
  read_to_end(loaded, root, note ? &*note : nullptr);
  require_fit(loaded, root);
  replay(loaded, root, recovered.collections);
  recovered.report = report_on(loaded, root);

  recovered.report.files_swept = sweep_leftovers(files, root.next_file);

  NewFiles added(files, numbers);
  const bool durable = root.log.clean || (loaded.scan.frames.empty() && loaded.cut == 0) ||
                       is_off("copy of a log that may not be durable");
  auto log =
      durable ? Log::reopen(files.fs(), files.paths(), loaded.header, loaded.scan) : copy_log(files, added, loaded);
  recovered.ledger = std::make_unique<Ledger>(files, roots, numbers, std::move(lock), std::move(stored), std::move(log),
                                              loaded.scan.version(root.version));
  if (!durable) recovered.ledger->publish(recovered.ledger->next_root(false), added);
  recovered.ledger->show();
  for (const auto& [id, collection] : recovered.collections) collection->show();
  return recovered;
}

}  // namespace lamina
