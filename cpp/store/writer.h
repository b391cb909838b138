// The one handle of a store that may change it.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "store/catalog.h"
#include "store/garbage.h"
#include "store/history.h"
#include "store/recovery.h"
#include "store/reserve.h"
#include "store/store.h"
#include "store/structure.h"

namespace lamina {

class Transaction;

// Four locks, taken in this order: maintenance_ (one merge, verify or close at a time), sealing_ (one seal at a time),
// turn_ (one change at a time), queue_mutex_ (for a moment). Reads take none of them.
class Writer final : public Store {
 public:
  Writer(FileSystem& fs, const StorePaths& paths, const StoreOptions& options, const Hasher& hasher,
         const RecordCodec& codec, std::unique_ptr<FileLock> lock);
  ~Writer() override;

  std::shared_ptr<Collection> create_collection(const std::string& name, const CollectionSpec& spec) override;
  std::shared_ptr<Collection> collection(const std::string& name) const override;
  std::vector<std::string> collections() const override;
  void drop_collection(const std::string& name) override;
  void rename_collection(const std::string& from, const std::string& to, bool replace) override;
  std::vector<WriteResult> write(std::span<const WriteOp> operations) override;
  std::shared_ptr<const Snapshot> snapshot(const std::string& name, const VersionRef& wanted) override;
  std::vector<VersionInfo> versions(const std::string& name) override;
  uint64_t tag(const std::string& name, const std::string& tag, const VersionRef& wanted) override;
  void untag(const std::string& name, const std::string& tag) override;
  std::shared_ptr<Collection> branch(const std::string& name, const std::string& branch, const VersionRef& wanted,
                                     const Snapshot* only) override;
  uint64_t rollback(const std::string& name, const VersionRef& wanted, const Fingerprint& model) override;
  uint64_t begin_migration(const std::string& name, const CollectionSpec& to) override;
  uint64_t exchange(const std::string& name, const Exchange& exchange) override;
  uint64_t end_migration(const std::string& name, MigrationStage stage) override;
  uint64_t note_migration(const std::string& name, const std::string& note) override;
  PurgeReport purge(const std::string& name, const Ids& ids) override;
  CleanupReport cleanup(int64_t older_than_us) override;
  void sync() override;
  bool reload() override;
  void seal() override;
  void optimize(const std::string& name, int threads, bool other_only) override;
  void copy_to_huge_pages(const std::string& name, int threads) override;
  bool maintain(int threads) override;
  VerifyReport verify(const VerifyOptions& options) override;
  RepairReport repair(int threads) override;
  StoreStats stats() const override;
  const Recovery& recovery() const override { return recovery_; }
  uint64_t version() const override;
  void close() override;

 private:
  using Turn = std::unique_lock<std::mutex>;

  // A write that waits; one of those who wait serves them all.
  struct Request {
    std::span<const WriteOp> operations;
    std::vector<WriteResult> results;
    std::exception_ptr error;
    bool appended = false;
    bool served = false;  // guarded by queue_mutex_
    // Its own: a forked child would wait for ever for whoever waits on one that it destroys with the writer.
    std::condition_variable changed;
  };

  void require_open() const;                         // ClosedError: closed, or this is a forked child
  Turn take_turn();                                  // require_open(), and not poisoned
  void require_free(const std::string& name) const;  // std::invalid_argument: taken, or none that can be
  using Plan = std::function<MergePlan(const CollectionState&)>;
  bool merge(const std::string& name, const Plan& plan, int threads);
  // Writes the manifest of a collection as `change` makes it, with a version of its own; returns that. In the turn,
  // with nothing in the heads: no log has frames from before and behind such a step.
  using ManifestChange = std::function<void(const CollectionState&, Manifest&, SegmentFiles&)>;
  uint64_t change_manifest(const std::string& name, const ManifestChange& change);
  // REQUIRES, of the next two: sealing_ is held, turn_ is not.
  std::exception_ptr seal_beside_writers();  // as Seal::passed_over()
  bool seal_if_due();  // true if it was; after a failure it is due again when the log has grown some more
  // REQUIRES, of the next three: maintenance_ is held, and turn_ is not.
  CleanupReport sweep(int64_t keep_us);
  void tidy();  // sweeps; a failure counts for nothing
  bool sweep_is_due() const;
  // What is in memory of a collection is given up; it is opened anew when it is used next. All that was appended to the
  // log is durable, or meant to be seen. REQUIRES: turn_ is held.
  void open_anew(uint64_t id);
  // REQUIRES, of the next five: turn_ is held; of the last, sealing_ too.
  History history_of(const std::string& name);
  void purge_in_turn(uint64_t id, const Ids& ids);
  // Publishes a root in which these collections are new, or in place of what was there of them, and shows them.
  using Published = std::span<const std::shared_ptr<CollectionState>>;
  void publish(Root root, NewFiles& added, Published collections);
  void replace_in(Root& root, uint64_t gone, uint64_t heir, NewFiles& added);
  PastState sealed_at(const std::string& name, const VersionRef& wanted, SegmentFiles& files);
  bool has_large_head() const;
  // In the turn: does what makes room, or lets the store go. Where the disk is full it does it once more, in the space
  // that was kept for it. REQUIRES: `change` leaves all as it was when it throws.
  void with_reserve(const std::function<void()>& change);
  void close_in_turn();

  // commit.cpp
  bool must_serve(Request& request);
  void serve_queue();
  void serve(std::span<Request* const> requests);
  void append(Request& request, std::vector<CollectionState*>& touched);
  void take_back(const Transaction& transaction, std::vector<CollectionState*>& touched);
  bool sync_is_due() const;
  void bound_log();

  const StorePaths paths_;
  const StoreOptions options_;
  const RecordCodec& codec_;
  const int64_t process_;
  OpenFiles files_;
  RootStore roots_;
  Catalog catalog_;
  std::atomic<bool> closing_ = false;

  std::atomic<uint64_t> log_bytes_ = 0;  // as of the end of the last turn that changed it
  std::atomic<uint64_t> seal_at_;        // of those

  mutable std::mutex maintenance_;
  Garbage garbage_;          // guarded by maintenance_
  uint64_t swept_root_ = 0;  // guarded by maintenance_: the newest that a sweep has seen
  std::mutex sealing_;
  mutable std::mutex turn_;  // guards all from here to queue_mutex_
  FileNumbers numbers_;
  std::unique_ptr<Ledger> ledger_;
  Collections collections_;
  Recovery recovery_;  // never changed after construction
  std::unique_ptr<Workshop> shop_;
  Reserve reserve_;
  std::chrono::steady_clock::time_point last_sync_;
  bool closed_ = false;

  std::mutex queue_mutex_;  // guards all below
  std::vector<Request*> queue_;
  bool serving_ = false;  // somebody takes the queue as soon as it is their turn
};

}  // namespace lamina
