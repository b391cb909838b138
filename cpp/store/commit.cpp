// How a write becomes true: resolved, appended, applied, synced, shown to readers, acknowledged. Writers that wait for
// their turn are served together by the first of them, and share one sync.
#include <algorithm>

#include "base/error.h"
#include "store/replay.h"
#include "store/transaction.h"
#include "store/writer.h"

namespace lamina {
namespace {

constexpr auto kSyncInterval = std::chrono::seconds(1);

// What applying reads is looked at before anything is written: damage there refuses the write, and no more.
void check_indexes(const CollectionState& collection) {
  for (const View::SealedPart& sealed : collection.vectors->view()->parts) {
    if (sealed.part->guard != nullptr) sealed.part->guard->check_index();
  }
  for (const RecordView::SealedPart& sealed : collection.records->view()->parts) (*sealed.segment)->rids();
}

}  // namespace

std::vector<WriteResult> Writer::write(std::span<const WriteOp> operations) {
  require_open();
  check_operations(operations, codec_);
  Request request;
  request.operations = operations;
  {
    const std::lock_guard lock(queue_mutex_);
    queue_.push_back(&request);
  }
  {
    const std::lock_guard lock(turn_);
    if (!request.served) serve_queue();
  }
  if (request.error) std::rethrow_exception(request.error);
  return std::move(request.results);
}

void Writer::serve_queue() {
  std::vector<Request*> waiting;
  {
    const std::lock_guard lock(queue_mutex_);
    waiting.assign(queue_.begin(), queue_.end());
    queue_.clear();
  }
  try {
    serve(waiting);
  } catch (...) {  // what was appended may or may not be durable; what was not, is not
    for (Request* request : waiting) {
      if (!request->error) request->error = std::current_exception();
    }
  }
  for (Request* request : waiting) request->served = true;
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
  seal_if_due();
}

void Writer::append(Request& request, std::vector<CollectionState*>& touched) {
  ledger_->require_sound();
  const int64_t now = now_us();
  const auto lookup = [this](const std::string& name) -> CollectionState& { return state_of(name); };
  const Transaction transaction(request.operations, lookup, ledger_->version() + 1, now);
  request.results = transaction.results();
  const std::span<const Operation> operations = transaction.operations();
  if (operations.empty()) return;
  for (size_t i = 0; i < operations.size(); ++i) check_indexes(transaction.collection(i));
  ledger_->append(now, operations);
  try {
    for (size_t i = 0; i < operations.size(); ++i) apply(transaction.collection(i), operations[i], 0);
  } catch (const std::exception& e) {
    ledger_->take_back();
    ledger_->poison(std::string("a write could not be applied: ") + e.what());
    throw;
  }
  request.appended = true;
  for (size_t i = 0; i < operations.size(); ++i) {
    CollectionState& collection = transaction.collection(i);
    collection.version = collection.last_frame = ledger_->version();
    if (std::find(touched.begin(), touched.end(), &collection) == touched.end()) touched.push_back(&collection);
  }
}

bool Writer::sync_is_due() const {
  if (options_.durability == Durability::kOs) return false;
  return options_.durability == Durability::kFsync || std::chrono::steady_clock::now() - last_sync_ >= kSyncInterval;
}

// A write that is acknowledged stays so if sealing fails: the log merely grows on, until a later one tries again.
void Writer::seal_if_due() {
  constexpr uint64_t kPatience = 4;  // how far the log may grow under a merge, which a seal would undo
  if (ledger_->log_bytes() < (merging_ ? kPatience * options_.log_limit : seal_at_)) return;
  try {
    lamina::seal(*shop_);
    seal_at_ = options_.log_limit;
  } catch (const std::exception&) {
    seal_at_ = ledger_->log_bytes() + options_.log_limit / 8;
  }
}

}  // namespace lamina
