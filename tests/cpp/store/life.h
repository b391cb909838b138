// The life of a store in a small language, for scenarios of a few lines, some of whose steps fail; beside it, what the
// store has promised.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/fault.h"
#include "store/promise.h"

namespace lamina {

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
      promise_.acknowledged = promise_.expect(*store_);
      promise_.made = true;
      promise_.in_doubt.clear();
      promise_.unsynced.clear();
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
    promise_.noted.clear();
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

  // Versions.
  void tag(const std::string& tag, const std::string& name = "docs") {
    if (!there(name)) return;
    durable_step([&](Model& next) { next[name].tags[tag] = next[name].rows; }, [&] { store_->tag(name, tag, {}); });
  }
  void untag(const std::string& tag, const std::string& name = "docs") {
    if (!there(name, tag)) return;
    durable_step([&](Model& next) { next[name].tags.erase(tag); }, [&] { store_->untag(name, tag); });
  }
  void branch(const std::string& branch, const std::string& name = "docs") {
    if (!there(name)) return;
    durable_step(
        [&](Model& next) {
          next[branch] = {next[name].rows, next[name].settings, {}};
        },
        [&] { store_->branch(name, branch, {}); });
  }
  void branch_at(const std::string& tag, const std::string& branch, const std::string& name = "docs") {
    if (!there(name, tag)) return;
    durable_step(
        [&](Model& next) {
          next[branch] = {next[name].tags[tag], next[name].settings, {}};
        },
        [&] { store_->branch(name, branch, {.tag = tag}); });
  }
  // Of the records with even ids alone, as a filter narrows a snapshot to them.
  void branch_of_even(const std::string& branch, const std::string& name = "docs") {
    if (!there(name)) return;
    const Passes even = [](int64_t id) { return id % 2 == 0; };
    durable_step(
        [&](Model& next) {
          Rows rows = next[name].rows;
          std::erase_if(rows, [&](const auto& row) { return !even(row.first); });
          next[branch] = {rows, next[name].settings, {}};
        },
        [&] { store_->branch(name, branch, {}, narrowed(*store_->collection(name)->snapshot(), even).get()); });
  }
  // If `to` is there, it is replaced, and its tags go over.
  void rename(const std::string& from, const std::string& to) {
    if (!there(from)) return;
    const auto change = [&](Model& next) {
      Contents moved = next[from];
      moved.tags.merge(next[to].tags);
      next.erase(from);
      next[to] = moved;
    };
    promise_.noted.clear();
    durable_step(change, [&] { store_->rename_collection(from, to, true); });
  }
  void rollback(const std::string& tag, const std::string& name = "docs") {
    if (!there(name, tag)) return;
    durable_step([&](Model& next) { next[name].rows = next[name].tags[tag]; },
                 [&] { store_->rollback(name, {.tag = tag}, {}); });
  }
  // If one of the ids is there. REQUIRES: all collections are branches of one.
  void purge(const std::vector<int64_t>& ids, const std::string& name = "docs") {
    const auto any_in = [&](const Rows& rows) {
      return std::any_of(ids.begin(), ids.end(), [&](int64_t id) { return rows.contains(id); });
    };
    if (!there(name) || !any_in(promise_.acknowledged.at(name).rows)) return;
    const auto change = [&](Model& next) {
      for (auto& [collection, contents] : next) {
        remove(contents.rows, ids);
        for (auto& [tag, rows] : contents.tags) remove(rows, ids);
      }
    };
    Ids wanted;
    wanted.ints = ids;
    promise_.noted.clear();
    durable_step(change, [&] {
      try {
        store_->purge(name, wanted);
      } catch (const Error&) {
        if (any_in(rows_in(*store_, name))) throw;  // else they are deleted, and what is left is in older files
      }
    });
  }
  void cleanup() {
    promise_.noted.clear();
    step([](Model&) {}, [&] { store_->cleanup(0); });
  }
  // From now on the newest version can be had, until a step that may give it up.
  void note(const std::string& name = "docs") {
    if (!there(name) || !sound_ || lax_ || ended_) return;
    const uint64_t version = store_->collection(name)->snapshot()->version;
    promise_.noted[{name, version}] = promise_.acknowledged.at(name).rows;
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
      promise_.expect(*reader_);
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
  void hold_noted() {  // the oldest that was noted
    if (promise_.noted.empty() || !store_ || ended_) return;
    const auto& noted = *promise_.noted.begin();
    held_rows_ = noted.second;
    attempt([&] { held_ = store_->snapshot(noted.first.first, {.version = noted.first.second}); });
  }
  void let_go_of_held() { held_.reset(); }
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
  bool there(const std::string& name, const std::string& tag) const {
    return there(name) && promise_.acknowledged.at(name).tags.contains(tag);
  }

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

}  // namespace lamina
