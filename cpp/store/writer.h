// The one handle of a store that may change it.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>

#include "store/catalog.h"
#include "store/recovery.h"
#include "store/store.h"
#include "store/structure.h"

namespace lamina {

// Three locks, taken in this order: maintenance_ (one merge, verify or close at a time), turn_ (one change at a time),
// queue_mutex_ (for a moment). Reads take none of them.
class Writer final : public Store {
 public:
  Writer(FileSystem& fs, const StorePaths& paths, const StoreOptions& options, const Hasher& hasher,
         const RecordCodec& codec, std::unique_ptr<FileLock> lock);
  ~Writer() override;

  std::shared_ptr<Collection> create_collection(const std::string& name, const CollectionSpec& spec) override;
  std::shared_ptr<Collection> collection(const std::string& name) const override;
  std::vector<std::string> collections() const override;
  void drop_collection(const std::string& name) override;
  void set_settings(const std::string& name, const std::string& settings) override;
  std::vector<WriteResult> write(std::span<const WriteOp> operations) override;
  void sync() override;
  bool reload() override;
  void seal() override;
  void optimize(const std::string& name, int threads) override;
  bool maintain(int threads) override;
  VerifyReport verify() override;
  StoreStats stats() const override;
  const Recovery& recovery() const override { return recovery_; }
  uint64_t version() const override;
  void close() override;

 private:
  using Turn = std::unique_lock<std::mutex>;

  // A write waiting for its turn; whoever has it serves all that wait.
  struct Request {
    std::span<const WriteOp> operations;
    std::vector<WriteResult> results;
    std::exception_ptr error;
    bool served = false;  // guarded by turn_
    bool appended = false;
  };

  void require_open() const;                           // ClosedError: closed, or this is a forked child
  Turn take_turn();                                    // require_open(), and not poisoned
  CollectionState& state_of(const std::string& name);  // NotFoundError
  bool merge(const std::string& name, MergePlan (*plan)(const CollectionState&), int threads);
  bool has_large_head() const;
  void close_in_turn();

  // commit.cpp
  void serve_queue();
  void serve(std::span<Request* const> requests);
  void append(Request& request, std::vector<CollectionState*>& touched);
  bool sync_is_due() const;
  void seal_if_due();

  const StorePaths paths_;
  const StoreOptions options_;
  const RecordCodec& codec_;
  const int64_t process_;
  OpenFiles files_;
  RootStore roots_;
  Catalog catalog_;
  std::atomic<bool> closing_ = false;

  mutable std::mutex maintenance_;
  mutable std::mutex turn_;  // guards all from here to queue_mutex_
  FileNumbers numbers_;
  std::unique_ptr<Ledger> ledger_;
  Collections collections_;
  Recovery recovery_;  // never changed after construction
  std::unique_ptr<Workshop> shop_;
  bool merging_ = false;
  uint64_t seal_at_;  // bytes of log
  std::chrono::steady_clock::time_point last_sync_;
  bool closed_ = false;

  std::mutex queue_mutex_;  // guards queue_
  std::deque<Request*> queue_;
};

}  // namespace lamina
