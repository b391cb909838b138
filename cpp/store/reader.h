// A handle that only reads, in any number of processes, beside at most one that writes.
#pragma once

#include <map>
#include <mutex>
#include <optional>

#include "store/catalog.h"
#include "store/history.h"
#include "store/loading.h"
#include "store/root_store.h"
#include "store/store.h"

namespace lamina {

class Reader final : public Store {
 public:
  Reader(FileSystem& fs, const StorePaths& paths, const StoreOptions& options, const Hasher& hasher,
         const RecordCodec& codec);
  ~Reader() override { close(); }

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
  uint64_t version() const override { return catalog_.version(); }
  void close() override;

 private:
  // A root, held, and what it and the log behind it amount to.
  struct State {
    StoredRoot root;
    Collections collections;
    uint64_t position = 0;  // in the root's log: all before it is in the collections
    uint64_t version = 0;
  };

  void require_open() const;
  [[noreturn]] void refuse() const;
  History history_of(const std::string& name);
  void load();
  void load_what_is_whole();
  // False: a writer published meanwhile, try again. `seq` becomes that of the root which was tried.
  bool try_load(uint64_t* seq);
  Collections collections_for(const StoredRoot& root, uint64_t* from);
  std::optional<LoadedLog> read_log(const Root& root, uint64_t from);
  bool is_newest(uint64_t seq) const;

  const StorePaths paths_;
  const RecordCodec& codec_;
  OpenFiles files_;
  RootStore roots_;
  Catalog catalog_;
  Recovery recovery_;
  const bool salvaged_;  // stays at what could be read

  mutable std::mutex mutex_;  // guards all below
  std::optional<State> state_;
  std::map<uint64_t, std::shared_ptr<CollectionHandle>> handles_;  // by collection; they outlive a failed reload
  bool closed_ = false;
};

}  // namespace lamina
