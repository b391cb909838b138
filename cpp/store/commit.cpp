// How a write becomes true: resolved, appended, applied, synced, shown to readers, acknowledged. Those that come while
// others are served wait in a queue, are served together by the first of them, and share one sync.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "store/replay.h"
#include "store/transaction.h"
#include "store/writer.h"

namespace lamina {
namespace {

constexpr auto kSyncInterval = std::chrono::seconds(1);

// What applying reads is looked at before anything is written: damage there refuses the write, and no more.
void check_rids(const CollectionState& collection) {
  for (const auto& generation : collection.vectors) {
    for (const View::SealedPart& sealed : generation->view()->parts) {
      if (sealed.part->guard != nullptr) sealed.part->guard->check_rids();
    }
  }
  for (const RecordView::SealedPart& sealed : collection.records->view()->parts) (*sealed.segment)->rids();
}

bool makes_room(std::span<const WriteOp> operations) {
  return std::ranges::all_of(operations,
                             [](const WriteOp& op) { return op.verb == Verb::kDelete || op.verb == Verb::kClear; });
}

}  // namespace

std::vector<WriteResult> Writer::write(std::span<const WriteOp> operations) {
  require_open();
  check_operations(operations, codec_);
  Request request;
  request.operations = operations;
  if (must_serve(request)) serve_queue();
  if (request.error) std::rethrow_exception(request.error);
  bound_log();
  return std::move(request.results);
}

// Waits until the request has been served (false), or nobody is about to and its writer must.
bool Writer::must_serve(Request& request) {
  std::unique_lock lock(queue_mutex_);
  queue_.push_back(&request);
  request.changed.wait(lock, [&] { return request.served || !serving_; });
  if (request.served) return false;
  serving_ = true;
  return true;
}

void Writer::serve_queue() {
  std::vector<Request*> waiting;
  {
    const std::lock_guard turn(turn_);
    {
      const std::lock_guard lock(queue_mutex_);
      waiting.swap(queue_);
    }
    try {
      serve(waiting);
    } catch (...) {  // what was appended may or may not be durable; what was not, is not
      for (Request* request : waiting) {
        if (!request->error) request->error = std::current_exception();
      }
    }
  }
  const std::lock_guard lock(queue_mutex_);
  for (Request* request : waiting) {
    request->served = true;
    request->changed.notify_one();
  }
  serving_ = false;
  if (!queue_.empty()) queue_.front()->changed.notify_one();
}

void Writer::serve(std::span<Request* const> requests) {
  if (closed_) throw ClosedError("the store is closed");
  std::vector<CollectionState*> touched;
  bool appended = false;
  for (Request* request : requests) {
    try {
      append(*request, touched);
      appended |= request->appended;
    } catch (...) {
      request->error = std::current_exception();
    }
  }
  ledger_->require_sound();
  if (!appended) return;
  if (sync_is_due()) {
    ledger_->sync();
    last_sync_ = std::chrono::steady_clock::now();
  }
  ledger_->show();
  for (CollectionState* collection : touched) collection->show();
  catalog_.set_version(ledger_->version());
  log_bytes_ = ledger_->log_bytes();
}

void Writer::append(Request& request, std::vector<CollectionState*>& touched) {
  ledger_->require_sound();
  const int64_t now = now_us();
  const auto lookup = [this](const std::string& name) -> CollectionState& {
    CollectionState& collection = *catalog_.state(name);
    collection.open_to_write();
    return collection;
  };
  const Transaction transaction(request.operations, lookup, ledger_->version() + 1, now);
  request.results = transaction.results();
  const std::span<const Operation> operations = transaction.operations();
  if (operations.empty()) return;
  for (size_t i = 0; i < operations.size(); ++i) check_rids(transaction.collection(i));
  const auto log = [&] { ledger_->append(now, operations); };
  makes_room(request.operations) ? with_reserve(log) : log();
  try {
    for (size_t i = 0; i < operations.size(); ++i) {
      apply(transaction.collection(i), operations[i], transaction.found(i), 0);
    }
  } catch (const CorruptionError&) {  // a file has failed since it was looked at
    take_back(transaction, touched);
    throw;
  } catch (const std::exception& e) {
    ledger_->take_back();
    ledger_->poison(std::string("a write could not be applied: ") + e.what());
    throw;
  }
  request.appended = true;
  for (size_t i = 0; i < operations.size(); ++i) {
    CollectionState& collection = transaction.collection(i);
    collection.version = collection.last_frame = ledger_->version();
    collection.time_us = now;
    collection.in_log = true;
    if (std::find(touched.begin(), touched.end(), &collection) == touched.end()) touched.push_back(&collection);
  }
}

// What was appended last, of which some may have been applied: its collections are opened anew, others go on.
void Writer::take_back(const Transaction& transaction, std::vector<CollectionState*>& touched) {
  ledger_->take_back();
  std::set<uint64_t> ids;
  for (size_t i = 0; i < transaction.operations().size(); ++i) ids.insert(transaction.collection(i).id);
  std::erase_if(touched, [&](const CollectionState* collection) { return ids.contains(collection->id); });
  try {
    for (const uint64_t id : ids) open_anew(id);
  } catch (const std::exception& e) {
    ledger_->poison(std::string("a write could not be taken back: ") + e.what());
    throw;
  }
}

bool Writer::sync_is_due() const {
  if (options_.durability == Durability::kOs) return false;
  return options_.durability == Durability::kFsync || std::chrono::steady_clock::now() - last_sync_ >= kSyncInterval;
}

// Sealing is for maintenance. Where it does not come to it, the writer who finds the log half as large again as it
// should be seals, beside the others; where the log is twice as large, all wait for that. A write that is acknowledged
// stays so if sealing fails: the log merely grows on.
void Writer::bound_log() {
  const uint64_t bytes = log_bytes_;
  if (bytes < seal_at_ + options_.log_limit / 2) return;
  std::unique_lock sealing(sealing_, std::defer_lock);
  if (bytes >= seal_at_ + options_.log_limit) {
    sealing.lock();
  } else if (!sealing.try_lock()) {
    return;
  }
  try {
    seal_if_due();
  } catch (const std::exception&) {
  }
}

}  // namespace lamina
