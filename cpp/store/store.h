// A store: a directory of collections behind one log. One writer process, any number of reader processes.
//
// Threads: every method may be called from any thread. Writes are serialised inside; reads take a snapshot and wait
// for nobody. Failures: a write that throws has changed nothing, except StorageError from a sync, after which the
// outcome is unknown and the handle is poisoned: every later write throws, reads go on, reopening finds the truth.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "codes/metric.h"
#include "segment/migration.h"
#include "segment/record.h"
#include "store/lazy_view.h"
#include "store/record_codec.h"
#include "store/record_set.h"

namespace lamina {

class FileSystem;
struct Hasher;  // segment/hasher.h

enum class Durability : uint8_t {
  kFsync,     // acknowledged means on the disk
  kInterval,  // acknowledged means handed to the system; synced by the first write, maintain(), sync() or close() that
              // comes a second after the last sync
  kOs,        // synced by sync(), sealing and close() alone
};

struct StoreOptions {
  bool create = false;  // make the store if it is not there
  bool read_only = false;
  bool salvage = false;  // with read_only: what is damaged is left out, and told in Recovery::missing
  Durability durability = Durability::kFsync;
  // Bytes of log from which on maintain() seals. Writers seal at half as much again, and wait at twice as much for a
  // seal that is under way: a reopen replays at most 2 * log_limit and the writes that were under way at that point,
  // unless sealing failed.
  uint64_t log_limit = uint64_t{64} << 20;
  int64_t keep_versions_us = int64_t{24} * 3600 * 1000000;  // how long a version can be had once there is a newer one
  std::optional<uint64_t> memory;  // bytes that its segments may take of this process: see segment/memory_budget.h
};

// What is fixed when a collection is made, but for the kind of ids and the settings. `settings` and `model` are the
// caller's own bytes, kept and given back.
struct CollectionSpec {
  std::optional<IdKind> id_kind;  // none: the first put decides
  VectorSpec vectors;
  Fingerprint fingerprint{};
  std::string model;
  std::string settings;
  Migration migration;
};

// One collection at one version, as one of its models sees it. It outlives its store.
struct Snapshot {
  uint64_t version = 0;  // of the last write that touched the collection
  std::shared_ptr<const CollectionSpec> spec;
  std::shared_ptr<const RecordView> records;
  LazyView vectors;                       // of the served generation, unless this is an `other`
  std::shared_ptr<const View> served;     // of the served generation, whether a filter narrowed the snapshot or not
  std::shared_ptr<const Snapshot> other;  // the same records with the second generation; null: there is none
  std::shared_ptr<const void> pin;        // of an older version: while it is held, nothing that it needs is removed
};

// Which version of a collection: at most one of the three; none: the newest.
struct VersionRef {
  std::optional<uint64_t> version;  // as the collection was at this version of the store
  std::optional<std::string> tag;
  std::optional<int64_t> time_us;  // the newest at or before this time
};

struct VersionInfo {
  uint64_t version = 0;
  int64_t time_us = 0;
  std::vector<std::string> tags;
};

// What was removed. `pinned`: older versions that should have gone, and were held by a reader.
struct CleanupReport {
  uint64_t files = 0;
  uint64_t bytes = 0;
  uint64_t pinned = 0;
};

// Its store outlives it.
class Collection {
 public:
  virtual ~Collection() = default;
  virtual std::string name() const = 0;  // another one once it is renamed
  // The newest acknowledged. The first call opens the collection's files: CorruptionError, FormatVersionError, and
  // ClosedError once the store is closed; later ones copy a pointer.
  virtual std::shared_ptr<const Snapshot> snapshot() const = 0;
  virtual std::shared_ptr<const Snapshot> opened() const = 0;  // the same, or none before the first call; never waits
  virtual bool dropped() const = 0;
};

enum class Verb : uint8_t {
  kAdd,       // every id must be new: DuplicateIdError
  kUpsert,    // whole records, new or in place of the old
  kUpdate,    // every id must be there: NotFoundError
  kBackfill,  // vectors for records that are there (store/generation.h); those of others are left out
  kDelete,    // ids that are not there are ignored
  kClear,     // all records; no ids
};

// New settings, for a caller who made them of those that were `from`.
struct SettingsChange {
  std::string from;
  std::string to;
};

// What is known of records that come from elsewhere, in place of what a write says of its rows by itself: that they are
// of now, and each given vector made of its row's content.
struct Origin {
  std::span<const int64_t> created_us;     // one a row
  std::span<const int64_t> updated_us;     // one a row
  std::span<const Provenance> provenance;  // one a given vector; a zero hash: of no content
};

struct WriteOp {
  std::string collection;
  Verb verb = Verb::kUpsert;
  Ids ids;                                    // no id twice: DuplicateIdError
  std::vector<std::byte> columns;             // puts: one sealed block, one row an id
  std::span<const ContentHash> content_hash;  // puts: one a row, or none for an update that leaves all contents as they
                                              // are; back-fills: the basis that each vector was made from
  std::span<const VectorFate> fates;          // puts: one a row
  const float* vectors = nullptr;             // the given rows' vectors back to back (packed bits for kHamming)
  Fingerprint fingerprint{};                  // of the model that made them: puts: another than served, back-fills:
                                              // of no generation: ModelMismatchError
  std::string scope;                          // that writes the records; an update leaves them the one that they have
  std::optional<uint64_t> if_version;         // the collection's version must still be this: ConflictError
  std::optional<SettingsChange> settings;     // puts: ConflictError if the settings are no longer `from`
  std::optional<Origin> origin;               // puts
  FoundRecords found;                         // puts: of their ids, if the caller has looked
};

struct WriteResult {
  uint64_t added = 0;
  uint64_t updated = 0;
  uint64_t deleted = 0;
  uint64_t version = 0;
};

// What a salvage had to leave out. `rows`: how many live ones, as far as that is known.
struct Missing {
  std::string collection;  // "": of all
  std::string file;
  std::string what;
  uint64_t rows = 0;
  std::string why;
};

// What the last open had to mend. Empty strings and zeros: nothing.
struct Recovery {
  bool clean = true;  // the last writer had closed the store
  uint64_t frames_replayed = 0;
  uint64_t bytes_cut = 0;    // of a torn last frame
  uint64_t files_swept = 0;  // leftovers of a crash
  std::string note;          // in a sentence, for the log
  std::vector<Missing> missing;
};

struct VerifyOptions {
  std::optional<double> max_seconds;  // none: to the end. A segment that was begun is ended.
  bool resume = false;                // what the last one that ran out of time found sound is not looked at again
};

// What was found sound, in this run and those that it resumes.
struct VerifyReport {
  uint64_t files = 0;
  uint64_t bytes = 0;
  uint64_t bytes_in_all = 0;
  uint64_t records = 0;  // 0 until it is complete
  uint64_t vectors = 0;
  bool complete = true;
};

// What a repair found: segments that were written anew from what is sound in them, and those where that is not enough.
struct RepairReport {
  struct Segment {
    std::string collection;
    std::string damage;  // "(needed by ...)" where it is lost
  };
  std::vector<Segment> repaired;
  std::vector<Segment> lost;
};

struct StoreStats {
  uint64_t version = 0;
  uint64_t log_bytes = 0;
  uint64_t record_bytes = 0;
  uint64_t vector_bytes = 0;
  uint64_t other_bytes = 0;
  uint64_t history_bytes = 0;  // of files that only older versions and tags need; in none of the others
  // The budget, and how much of it segments have in place for good once that is touched.
  struct Memory {
    uint64_t budget = 0, in_place = 0;
  };
  std::optional<Memory> memory;  // none: without a budget
  struct OfCollection {
    std::string name;
    uint64_t records = 0, vectors = 0, owed = 0, stale = 0;
    uint64_t other_vectors = 0, other_owed = 0, other_stale = 0;  // of the second generation, if there is one
    uint64_t record_segments = 0, vector_segments = 0, head_records = 0, head_vectors = 0;
    uint64_t dead_records = 0, dead_vectors = 0;
  };
  std::vector<OfCollection> collections;
};

// Which generation is to be served from now on, and at what price.
struct Exchange {
  Fingerprint incoming{};      // of the second generation
  bool allow_missing = false;  // its stale vectors go, so that they are owed as the others that it lacks
  Ids exempt;                  // what it may lack otherwise
  std::string note;
};

struct PurgeReport {
  uint64_t deleted = 0;  // records of the collection itself
  uint64_t version = 0;  // of the collection, now
};

class Store {
 public:
  // Throws NotFoundError (no store there and not `create`), LockedError, CorruptionError, FormatVersionError,
  // StorageError. The references must outlive the store.
  static std::shared_ptr<Store> open(FileSystem& fs, const std::string& path, const StoreOptions& options,
                                     const Hasher& hasher, const RecordCodec& codec);
  virtual ~Store() = default;

  virtual std::shared_ptr<Collection> create_collection(const std::string& name, const CollectionSpec& spec) = 0;
  virtual std::shared_ptr<Collection> collection(const std::string& name) const = 0;  // NotFoundError
  virtual std::vector<std::string> collections() const = 0;
  virtual void drop_collection(const std::string& name) = 0;  // with its tags
  // Handles go on under the new name. With `replace` a collection that has that name goes; its tags go over.
  virtual void rename_collection(const std::string& from, const std::string& to, bool replace) = 0;

  // All operations in order, as one version, whole or not at all.
  virtual std::vector<WriteResult> write(std::span<const WriteOp> operations) = 0;
  virtual void sync() = 0;

  // Versions. A collection or version that cannot be had is NotFoundError, which names those that can.
  virtual std::shared_ptr<const Snapshot> snapshot(const std::string& name, const VersionRef& wanted) = 0;
  virtual std::vector<VersionInfo> versions(const std::string& name) = 0;  // ascending
  // A tag keeps a version until it is taken off; its name is once in a collection. Returns the version.
  virtual uint64_t tag(const std::string& name, const std::string& tag, const VersionRef& wanted) = 0;
  virtual void untag(const std::string& name, const std::string& tag) = 0;
  // A new collection that begins as a version of this one, with the same files. `only`: with those of its records alone
  // that this narrowed snapshot has; ConflictError if it is of another version.
  virtual std::shared_ptr<Collection> branch(const std::string& name, const std::string& branch,
                                             const VersionRef& wanted, const Snapshot* only = nullptr) = 0;
  // A new version with the records of an older one; returns it. Settings stay as they are. `model`: of the older one,
  // if it is another than the one that is served now: ModelMismatchError. MigrationStateError in a migration.
  virtual uint64_t rollback(const std::string& name, const VersionRef& wanted, const Fingerprint& model) = 0;
  // Deletes the records of these ids, and takes them out of every version, tag and branch and out of every file:
  // versions that cannot be rewritten are given up. LockedError while a reader holds one that has any; then nothing has
  // changed. After another failure some may be left in older files: purge again.
  virtual PurgeReport purge(const std::string& name, const Ids& ids) = 0;
  virtual CleanupReport cleanup(int64_t older_than_us) = 0;  // ends the history before that, of all collections

  // Migration (store/generation.h). Each step returns the version that it took. MigrationStateError where the
  // collection is at another stage than the step starts from. A second generation, without rows. Of `to` its vectors,
  // fingerprint, model and the migration's note count.
  virtual uint64_t begin_migration(const std::string& name, const CollectionSpec& to) = 0;
  // The second generation and the served one change places. MigrationStateError if it has owed or stale records that
  // `exchange` does not allow for: it says how many.
  virtual uint64_t exchange(const std::string& name, const Exchange& exchange) = 0;
  // The second generation goes: finalize (the stage is kCutOver) or abort (kBackfill).
  virtual uint64_t end_migration(const std::string& name, MigrationStage stage) = 0;
  virtual uint64_t note_migration(const std::string& name, const std::string& note) = 0;

  virtual bool reload() = 0;  // a reader moves to the newest acknowledged version; true if it moved
  virtual void seal() = 0;    // the heads become segments; the log begins anew
  // Seals, and merges all into one. `other_only`: all of the second generation alone.
  virtual void optimize(const std::string& name, int threads, bool other_only = false) = 0;
  // What walks touch of the served vectors, where it is mapped, is copied to huge pages of this process
  // (index/huge_pages.h). Snapshots taken later have the copies; files that are opened later are mapped. Waits for no
  // merge. std::invalid_argument under a memory budget, CorruptionError.
  virtual void copy_to_huge_pages(const std::string& name, int threads) = 0;
  virtual bool maintain(int threads) = 0;  // one step of what is due (sync, seal, merge); false: nothing was due
  // Every byte, digest and count, of the newest version and of all that is kept beside it; throws CorruptionError at
  // the first damage.
  virtual VerifyReport verify(const VerifyOptions& options = {}) = 0;
  // Reads every byte of all segments that any version needs, and writes those anew in which only derived sections are
  // damaged. One with loss is left as it is.
  virtual RepairReport repair(int threads) = 0;
  virtual StoreStats stats() const = 0;
  virtual const Recovery& recovery() const = 0;
  virtual uint64_t version() const = 0;

  virtual void close() = 0;  // publishes the log's end; twice is harmless; later calls throw ClosedError
};

}  // namespace lamina
