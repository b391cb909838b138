#include "store/writer.h"

#include <algorithm>
#include <cerrno>
#include <stdexcept>

#include "base/error.h"
#include "index/huge_pages.h"
#include "io/process.h"
#include "store/stats.h"
#include "store/verify.h"

namespace lamina {
namespace {

constexpr uint64_t kLargeHead = 1000;  // rows that closing seals, since opening would have to link them anew
constexpr int kMergeAttempts = 3;
constexpr uint64_t kCarryInTurn = 1 << 20;  // bytes of log, roughly, whose carrying over writers may wait for
constexpr int kCarryRounds = 4;

Recovered open_ledger(OpenFiles& files, const RootStore& roots, FileNumbers& numbers, std::unique_ptr<FileLock> lock) {
  return roots.list().empty() ? begin_store(files, roots, numbers, std::move(lock))
                              : recover(files, roots, numbers, std::move(lock));
}

}  // namespace

Writer::Writer(FileSystem& fs, const StorePaths& paths, const StoreOptions& options, const Hasher& hasher,
               const RecordCodec& codec, std::unique_ptr<FileLock> lock)
    : paths_(paths),
      options_(options),
      codec_(codec),
      process_(process_id()),
      files_(fs, paths_, hasher, make_budget(options.memory)),
      roots_(fs, paths_, hasher),
      seal_at_(options.log_limit),
      garbage_(files_, roots_),
      reserve_(fs, paths_),
      last_sync_(std::chrono::steady_clock::now()) {
  Recovered recovered = open_ledger(files_, roots_, numbers_, std::move(lock));
  ledger_ = std::move(recovered.ledger);
  collections_ = std::move(recovered.collections);
  recovery_ = std::move(recovered.report);
  shop_ = std::make_unique<Workshop>(Workshop{files_, numbers_, *ledger_, collections_, codec_});
  catalog_.set(collections_);
  catalog_.set_version(ledger_->version());
  log_bytes_ = ledger_->log_bytes();
  reserve_.make();
}

Writer::~Writer() {
  if (process_id() != process_) {
    ledger_->abandon_lock();
    return;
  }
  try {
    close();
  } catch (...) {  // what was acknowledged is in the log, and the next open finds it
  }
}

void Writer::require_open() const {
  if (process_id() != process_) {
    throw ClosedError("a writing handle does not work in a forked child (opened by process " +
                      std::to_string(process_) + "); open the store anew, read-only");
  }
  if (closing_.load()) throw ClosedError("the store is closed");
}

Writer::Turn Writer::take_turn() {
  require_open();
  Turn turn(turn_);
  if (closed_) throw ClosedError("the store is closed");
  ledger_->require_sound();
  return turn;
}

void Writer::require_free(const std::string& name) const {
  constexpr size_t kLongestName = 1024;
  if (name.empty()) throw std::invalid_argument("a collection needs a name");
  if (name.size() > kLongestName) throw std::invalid_argument("a collection's name is at most 1024 bytes");
  if (catalog_.contains(name)) throw std::invalid_argument("there is a collection '" + name + "' already");
}

std::shared_ptr<Collection> Writer::create_collection(const std::string& name, const CollectionSpec& spec) {
  validate(spec.vectors);
  const Turn turn = take_turn();
  require_free(name);
  NewFiles added(files_, numbers_);
  Root root = ledger_->next_root(true);
  const auto collection = std::make_shared<CollectionState>(root.next_collection++, name, spec, root.version);
  collection->time_us = root.time_us;
  collection->manifest_ref = SegmentFiles(files_, added, codec_).write_manifest(collection->manifest);
  enter(root, *collection, collection->manifest_ref, root.version);
  collection->show();
  ledger_->publish(std::move(root), added);
  collections_[collection->id] = collection;
  catalog_.add(collection);
  catalog_.set_version(ledger_->version());
  return collection->handle;
}

void Writer::publish(Root root, NewFiles& added, Published collections) {
  ledger_->publish(std::move(root), added);
  for (const auto& collection : collections) {
    collections_[collection->id] = collection;
    collection->show();
  }
  catalog_.set(collections_);
  catalog_.set_version(ledger_->version());
}

void Writer::drop_collection(const std::string& name) {
  const Turn turn = take_turn();
  const uint64_t id = catalog_.state(name)->id;
  with_reserve([&] {
    NewFiles none(files_, numbers_);
    Root root = ledger_->next_root(true);
    std::erase_if(root.collections, [&](const Root::Collection& entry) { return entry.id == id; });
    std::erase_if(root.tags, [&](const Root::Tag& tag) { return tag.collection == id; });
    ledger_->publish(std::move(root), none);
  });
  collections_.erase(id);
  catalog_.set(collections_);
  catalog_.set_version(ledger_->version());
}

std::shared_ptr<Collection> Writer::collection(const std::string& name) const {
  if (closing_.load()) throw ClosedError("the store is closed");
  return catalog_.find(name);
}

std::vector<std::string> Writer::collections() const {
  if (closing_.load()) throw ClosedError("the store is closed");
  return catalog_.names();
}

uint64_t Writer::version() const { return catalog_.version(); }

bool Writer::reload() { return false; }

void Writer::sync() {
  const Turn turn = take_turn();
  ledger_->sync();
  ledger_->show();
  last_sync_ = std::chrono::steady_clock::now();
}

void Writer::seal() {
  require_open();
  const std::lock_guard sealing(sealing_);
  if (const std::exception_ptr damage = seal_beside_writers()) std::rethrow_exception(damage);
}

std::exception_ptr Writer::seal_beside_writers() {
  std::optional<Seal> seal;
  {
    const Turn turn = take_turn();
    log_bytes_ = ledger_->log_bytes();
    seal_at_ = options_.log_limit;
    if (log_bytes_ == kLogHeaderBytes) return nullptr;
    seal.emplace(*shop_);
  }
  seal->build();
  for (int round = 0; round < kCarryRounds && log_bytes_ - seal->carried() > kCarryInTurn; ++round) {
    seal->carry(log_bytes_);
  }
  const Turn turn = take_turn();
  seal->publish();
  log_bytes_ = ledger_->log_bytes();
  if (seal->passed_over()) seal_at_ = log_bytes_ + options_.log_limit;  // what stays there is no reason to seal again
  return seal->passed_over();
}

bool Writer::seal_if_due() {
  if (log_bytes_ < seal_at_) return false;
  std::exception_ptr damage;
  try {
    damage = seal_beside_writers();
  } catch (...) {
    seal_at_ = log_bytes_ + options_.log_limit / 8;
    throw;
  }
  if (damage) std::rethrow_exception(damage);
  return true;
}

void Writer::optimize(const std::string& name, int threads, bool other_only) {
  require_open();
  const std::lock_guard maintenance(maintenance_);
  for (int attempt = 0; attempt < kMergeAttempts; ++attempt) {
    bool unsealed = false;
    {
      const Turn turn = take_turn();
      const auto collection = catalog_.state(name);
      collection->open();
      unsealed = collection->unsealed();
    }
    if (unsealed) {
      const std::lock_guard sealing(sealing_);
      seal_beside_writers();
    }
    bool done = true;
    for (size_t generation = other_only ? 1 : 0; generation < 2; ++generation) {
      const auto plan = [&](const CollectionState& collection) { return plan_optimize(collection, generation); };
      done = done && merge(name, plan, threads);
    }
    if (!done) continue;
    tidy();
    return;
  }
  throw ConflictError("collection '" + name + "' was replaced each time that it was about to be optimized; try again");
}

void Writer::copy_to_huge_pages(const std::string& name, int threads) {
  refuse_budget(files_);
  std::shared_ptr<CollectionState> collection;
  std::shared_ptr<const View> mapped;
  {
    const Turn turn = take_turn();
    collection = catalog_.state(name);
    collection->open();
    mapped = collection->served_vectors().view();
  }
  const auto copies = copies_in_huge_pages(*mapped, threads);
  const Turn turn = take_turn();
  collection->place_copies(copies, collections_);
}

bool Writer::maintain(int threads) {
  require_open();
  const std::lock_guard maintenance(maintenance_);
  {
    const Turn turn = take_turn();
    if (options_.durability == Durability::kInterval && sync_is_due()) {
      ledger_->sync();
      ledger_->show();
      last_sync_ = std::chrono::steady_clock::now();
    }
    reserve_.make();
  }
  {
    const std::lock_guard sealing(sealing_);
    if (seal_if_due()) return true;
  }
  std::vector<std::string> due;
  bool seals = false;
  {
    const Turn turn = take_turn();
    for (const auto& [id, collection] : collections_) {
      if (!collection->opened()) continue;
      const MergePlan plan = plan_upkeep(*collection);
      if (plan.needed()) due.push_back(collection->name());
      seals |= plan.seals;
    }
  }
  if (seals && seal_at_ <= options_.log_limit) {
    const std::lock_guard sealing(sealing_);
    seal_at_ = std::min<uint64_t>(seal_at_, log_bytes_);
    if (seal_if_due()) return true;
  }
  if (!due.empty()) {
    if (sweep_is_due()) tidy();  // now: while others write, there may always be something to merge
    merge(due.front(), plan_upkeep, threads);
    return true;
  }
  if (!sweep_is_due()) return false;
  sweep(options_.keep_versions_us);
  return true;
}

// True: done, or nothing to do. False: what was merged has been replaced meanwhile.
bool Writer::merge(const std::string& name, const Plan& plan, int threads) {
  std::optional<Merge> merge;
  {
    const Turn turn = take_turn();
    if (!catalog_.contains(name)) return true;
    const auto collection = catalog_.state(name);
    collection->open();
    const MergePlan todo = plan(*collection);
    if (!todo.needed()) return true;
    merge.emplace(*shop_, collection, todo);
  }
  merge->build(threads);
  const Turn turn = take_turn();
  return merge->publish();
}

VerifyReport Writer::verify(const VerifyOptions& options) {
  require_open();
  const std::lock_guard maintenance(maintenance_);
  LoadedLog log;
  std::optional<StoredRoot> pinned;
  OpenFiles fresh(files_.fs(), paths_, files_.hasher(), files_.budget());  // looks at every file anew
  tidy();
  {
    const std::lock_guard sealing(sealing_);
    const Turn turn = take_turn();
    pinned = roots_.read(ledger_->root().seq);
    if (!pinned) throw CorruptionError(paths_.root_file(ledger_->root().seq), 0, "the newest root", "no file");
    require_all_named(fresh, roots_);
    log = open_log_to(fresh, pinned->root, ledger_->log_bytes());
  }
  return verify_all(fresh, roots_, *pinned, log, codec_, options);
}

StoreStats Writer::stats() const {
  require_open();
  StoreStats stats;
  OpenFiles files(files_.fs(), paths_, files_.hasher());
  std::optional<StoredRoot> newest;  // held
  {
    const Turn turn(turn_);
    stats.version = catalog_.version();
    stats.log_bytes = ledger_->log_bytes();
    for (const auto& [id, collection] : collections_) {
      collection->open();
      add_bytes(stats, *collection);
    }
    newest = roots_.read(ledger_->root().seq);
  }
  if (newest) stats.history_bytes = Garbage(files, roots_).history_bytes(newest->root);
  for (const auto& handle : catalog_.handles()) stats.collections.push_back(count_rows(*handle));
  stats.memory = memory_of(files_);
  return stats;
}

void Writer::with_reserve(const std::function<void()>& change) {
  try {
    change();
  } catch (const StorageError& failure) {
    const bool full = failure.error_number == ENOSPC || failure.error_number == EDQUOT;
    if (!full || ledger_->poisoned() || !reserve_.give_up()) throw;
    change();
  }
}

bool Writer::has_large_head() const {
  for (const auto& [id, collection] : collections_) {
    if (!collection->opened()) continue;
    if (collection->records->view()->head_rows >= kLargeHead) return true;
  }
  return false;
}

void Writer::close() {
  if (process_id() != process_) {
    ledger_->abandon_lock();
    require_open();
  }
  closing_.store(true);  // what is under way comes to an end
  const std::lock_guard maintenance(maintenance_);
  const std::lock_guard sealing(sealing_);
  const auto unlock = [this](void*) { ledger_->release_lock(); };
  const std::unique_ptr<void, decltype(unlock)> at_end(this, unlock);
  {
    const Turn turn(turn_);
    if (closed_) return;
    closed_ = true;
    catalog_.close();
    if (ledger_->poisoned()) return;
    close_in_turn();
  }
  if (sweep_is_due()) tidy();
}

void Writer::close_in_turn() {
  if (has_large_head()) {
    try {
      lamina::seal(*shop_);
    } catch (const std::exception&) {  // the log has it all
      ledger_->require_sound();
    }
  }
  if (ledger_->root().log.clean) return;
  with_reserve([&] {
    NewFiles none(files_, numbers_);
    Root root = ledger_->next_root(false);
    root.log.clean = true;
    ledger_->publish(std::move(root), none);
  });
}

}  // namespace lamina
