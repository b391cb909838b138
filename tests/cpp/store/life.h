// The life of a store in a small language, and beside it a toy model that is plainly right: for scenarios of a few
// lines, some of whose steps fail.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/fault.h"
#include "store/toy_store.h"

namespace lamina {

struct Contents {
  Rows rows;
  std::string settings;
  bool operator==(const Contents&) const = default;
};
using Model = std::map<std::string, Contents>;

inline void PrintTo(const Contents& contents, std::ostream* out) {
  *out << testing::PrintToString(contents.rows) << " " << contents.settings;
}

inline Model contents_of(const Store& store) {
  Model model;
  for (const std::string& name : store.collections()) {
    const auto snapshot = store.collection(name)->snapshot();
    model[name] = {rows_of(*snapshot), snapshot->spec->settings};
  }
  return model;
}

// What a store owes to whoever used it.
struct Promise {
  bool made = false;  // it was there once
  Model acknowledged;
  std::vector<Model> in_doubt;  // instead of that: what steps that failed since may have made of it
  std::vector<Model> unsynced;  // instead of that, after a power cut: earlier ones, by the policy

  Promise after_power_cut() const {
    Promise left = *this;
    left.in_doubt.insert(left.in_doubt.end(), unsynced.begin(), unsynced.end());
    left.unsynced.clear();
    return left;
  }

  void expect(const Model& found) const {
    const bool known = found == acknowledged || std::find(in_doubt.begin(), in_doubt.end(), found) != in_doubt.end();
    EXPECT_TRUE(known) << "found " << testing::PrintToString(found) << "\nacknowledged "
                       << testing::PrintToString(acknowledged) << "\nand " << in_doubt.size() << " in doubt";
  }
};

// Every step does nothing while the store is not open, or if what it works on is not known to be there. A step that
// throws an Error is in doubt until a later one returns: then it has changed nothing. Any other exception escapes.
class Life {
 public:
  // Once a step has failed and `over` says so, none is made any more.
  explicit Life(FileSystem& fs, Promise promise = {}, std::function<bool()> over = {})
      : fs_(fs), process_(fs), promise_(std::move(promise)), over_(std::move(over)) {}

  const Promise& promise() const { return promise_; }
  bool failed() const { return failed_; }
  FileSystem& fs() { return fs_; }

  void open(StoreOptions options = {}) {
    if (store_ || ended_) return;
    options.create = true;
    attempt([&] {
      store_ = open_store(process_, options);
      const Model found = contents_of(*store_);
      promise_.expect(found);
      promise_ = {.made = true, .acknowledged = found, .in_doubt = {}, .unsynced = {}};
      lax_ = options.durability != Durability::kFsync;
      sound_ = true;
    });
    if (!sound_) store_.reset();
  }
  void close() {
    if (!store_) return;
    attempt([&] { store_->close(); });
    if (sound_) promise_.unsynced.clear();
    let_go();
  }
  // As SIGKILL does: nothing more reaches the system.
  void kill() {
    process_.fail({.sticky = true});
    let_go();
    process_.heal();
  }

  void make(const std::string& name) {
    if (promise_.acknowledged.contains(name)) return;
    durable_step([&](Model& next) { next[name]; }, [&] { store_->create_collection(name, toy_spec()); });
  }
  void drop(const std::string& name) {
    if (!there(name)) return;
    durable_step([&](Model& next) { next.erase(name); }, [&] { store_->drop_collection(name); });
  }
  void put(const Rows& rows, const std::string& name = "docs") {
    if (!there(name)) return;
    step([&](Model& next) { replace(next[name].rows, rows); },
         [&] { lamina::write(*store_, Op(Verb::kUpsert, rows, name)); });
  }
  // Rows, and the settings that they need, which come together.
  void learn(const Rows& rows, const std::string& settings, const std::string& name = "docs") {
    if (!there(name)) return;
    const auto change = [&](Model& next) {
      replace(next[name].rows, rows);
      next[name].settings = settings;
    };
    const std::string& before = promise_.acknowledged.at(name).settings;
    step(change, [&] { lamina::write(*store_, Op(Verb::kUpsert, rows, name).learn(before, settings)); });
  }
  // New texts, the old vectors. REQUIRES: the ids are there.
  void retell(const Rows& rows, const std::string& name = "docs") {
    if (!there(name)) return;
    const auto change = [&](Model& next) {
      for (const auto& [id, row] : rows) next[name].rows[id].text = row.text;
    };
    step(change, [&] { lamina::write(*store_, Op(Verb::kUpdate, rows, name).keep_vectors()); });
  }
  void erase(const std::vector<int64_t>& ids, const std::string& name = "docs") {
    if (!there(name)) return;
    step([&](Model& next) { remove(next[name].rows, ids); }, [&] { lamina::write(*store_, Op::erase(ids, name)); });
  }
  void clear(const std::string& name = "docs") {
    if (!there(name)) return;
    step([&](Model& next) { next[name].rows.clear(); }, [&] { lamina::write(*store_, Op(Verb::kClear, {}, name)); });
  }
  // From one collection to another, as one write.
  void move(const Rows& rows, const std::string& from, const std::string& to) {
    if (!there(from) || !there(to)) return;
    std::vector<int64_t> ids;
    for (const auto& [id, row] : rows) ids.push_back(id);
    const auto change = [&](Model& next) {
      remove(next[from].rows, ids);
      replace(next[to].rows, rows);
    };
    step(change, [&] { lamina::write(*store_, {Op::erase(ids, from), Op(Verb::kUpsert, rows, to)}); });
  }
  void refused(const Rows& rows, const std::string& name = "docs") {  // if one of the ids is there
    if (!there(name) || !store_ || ended_) return;
    const Rows& known = promise_.acknowledged.at(name).rows;
    if (std::none_of(rows.begin(), rows.end(), [&](const auto& row) { return known.contains(row.first); })) return;
    EXPECT_THROW(lamina::write(*store_, Op(Verb::kAdd, rows, name)), Error);
  }

  void seal() {
    durable_step([](Model&) {}, [&] { store_->seal(); });
  }
  void optimize(const std::string& name = "docs") {
    if (!there(name)) return;
    step([](Model&) {}, [&] { store_->optimize(name, 1); });
  }
  void maintain() {
    step([](Model&) {},
         [&] {
           while (store_->maintain(1)) continue;
         });
  }
  void sync() {
    durable_step([](Model&) {}, [&] { store_->sync(); });
  }

  // Another process that reads.
  void read() {
    if (ended_) return;
    attempt([&] {
      if (!reader_) reader_ = open_reader(fs_);
      reader_->reload();
      promise_.expect(contents_of(*reader_));
    });
  }
  void stop_reading() { reader_.reset(); }
  void intrude() {  // another process that would write
    if (!store_ || ended_) return;
    EXPECT_THROW(open_store(fs_), Error);
  }

  // A snapshot, to be compared later with what it was.
  void hold(const std::string& name = "docs") {
    if (!there(name) || !store_) return;
    held_ = store_->collection(name)->snapshot();
    held_rows_ = rows_of(*held_);
  }
  void compare_held() const {
    if (!held_) return;
    EXPECT_EQ(rows_of(*held_), held_rows_);
  }

 private:
  static void replace(Rows& rows, const Rows& with) {
    for (const auto& [id, row] : with) rows[id] = row;
  }
  static void remove(Rows& rows, const std::vector<int64_t>& ids) {
    for (const int64_t id : ids) rows.erase(id);
  }
  bool there(const std::string& name) const { return promise_.acknowledged.contains(name); }

  void step(const std::function<void(Model&)>& change, const std::function<void()>& action) {
    make_step(change, action, !lax_);
  }
  void durable_step(const std::function<void(Model&)>& change, const std::function<void()>& action) {
    make_step(change, action, true);
  }
  void make_step(const std::function<void(Model&)>& change, const std::function<void()>& action, bool durable) {
    if (!store_ || ended_) return;
    Model next = promise_.acknowledged;
    change(next);
    if (!attempt(action)) {
      promise_.in_doubt.push_back(std::move(next));
      return;
    }
    if (durable) {
      promise_.unsynced.clear();
    } else {
      promise_.unsynced.push_back(promise_.acknowledged);
    }
    promise_.acknowledged = std::move(next);
    promise_.in_doubt.clear();
  }
  bool attempt(const std::function<void()>& action) {
    try {
      action();
      return true;
    } catch (const Error&) {
      failed_ = true;
      sound_ = false;
      ended_ = over_ && over_();
      return false;
    }
  }
  void let_go() {
    held_.reset();
    store_.reset();
    sound_ = false;
  }

  FileSystem& fs_;
  FaultFileSystem process_;
  Promise promise_;
  const std::function<bool()> over_;
  std::shared_ptr<Store> store_;
  std::shared_ptr<Store> reader_;
  std::shared_ptr<const Snapshot> held_;
  Rows held_rows_;
  bool lax_ = false;
  bool sound_ = false;  // the store is open and no step has failed since
  bool failed_ = false;
  bool ended_ = false;
};

// Opened by a reader, by a writer, and again: one of the states that are owed, and never an older one than before. The
// store verifies and works.
inline void expect_kept(const Promise& promise, FileSystem& fs) {
  uint64_t seen = 0;
  try {
    const auto reader = open_reader(fs);
    promise.expect(contents_of(*reader));
    seen = reader->version();
  } catch (const NotFoundError&) {
    EXPECT_FALSE(promise.made) << "the store is gone";
    return;
  }
  Model model;
  {
    const auto store = open_store(fs);
    model = contents_of(*store);
    promise.expect(model);
    EXPECT_GE(store->version(), seen);
    store->verify();
    if (model.empty()) store->create_collection("new", toy_spec());
    const std::string name = store->collections().front();
    const Rows fresh = batch_of(6, 1000, 2);
    write(*store, Op(Verb::kUpsert, fresh, name));
    for (const auto& [id, row] : fresh) model[name].rows[id] = row;
    store->close();
  }
  const auto again = open_store(fs);
  EXPECT_TRUE(again->recovery().clean);
  EXPECT_EQ(contents_of(*again), model);
}

}  // namespace lamina
