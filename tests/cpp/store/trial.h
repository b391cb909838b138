// A life of a store, some of whose steps fail, and all the states that it may then be found in.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "io/fault.h"
#include "store/toy_store.h"

namespace lamina {

class Trial {
 public:
  using Model = std::map<std::string, Rows>;

  void run(FileSystem& fs) {
    if (!begin(fs, true)) return;
    make("docs");
    make("more");
    put(batch_of(1, 0, 6));
    transaction();
    erase({1, 3, 77});
    step([] {}, [&] { store_->seal(); });
    put(batch_of(2, 4, 6));
    erase({0, 8});
    step([] {}, [&] { store_->optimize("docs", 1); });
    put(batch_of(3, 2, 2));
    end();
    if (!begin(fs, false)) return;
    put(batch_of(4, 20, 3));
    learn(batch_of(10, 30, 2), "tuned");
    step([&] { next_.erase("more"); }, [&] { store_->drop_collection("more"); });
    put(batch_of(5, 5, 5));
    end();
    if (begin(fs, false)) end();
  }

  bool completed() const { return completed_; }

  // Opened by a reader, by a writer, and again: what was acknowledged is there, and at most one of the steps that
  // failed since, whole. The store verifies and works.
  void expect_one_of_its_states(FileSystem& fs) const {
    if (acknowledged_.empty() && !exists(fs)) return;
    check(contents(*open_reader(fs)));
    {
      const auto store = open_store(fs);
      check(contents(*store));
      store->verify();
      write_one(*store);
      store->close();
    }
    const auto again = open_store(fs);
    EXPECT_TRUE(again->recovery().clean);
    again->verify();
  }

 private:
  static constexpr int64_t kSettings = -2;  // the row of a model that stands for the collection's settings

  static bool exists(FileSystem& fs) {
    try {
      open_store(fs);
      return true;
    } catch (const NotFoundError&) {
      return false;
    }
  }

  static Model contents(const Store& store) {
    Model model;
    for (const std::string& name : store.collections()) {
      model[name] = rows_in(store, name);
      const std::string settings = store.collection(name)->snapshot()->spec->settings;
      if (!settings.empty()) model[name][kSettings] = {settings, std::nullopt};
    }
    return model;
  }

  static void write_one(Store& store) {
    if (store.collections().empty()) store.create_collection("new", toy_spec());
    write(store, Op(Verb::kUpsert, batch_of(6, 1000, 2), store.collections().front()));
  }

  void check(const Model& found) const {
    bool known = found == acknowledged_;
    for (const Model& maybe : doubtful_) known |= found == maybe;
    EXPECT_TRUE(known) << "found " << testing::PrintToString(found) << "\nacknowledged "
                       << testing::PrintToString(acknowledged_) << "\nand " << doubtful_.size() << " in doubt";
  }

  // `change` is made to the model `next_` if `action` returns. If it throws, both are possible, until a later one
  // returns: then it has changed nothing.
  void step(const std::function<void()>& change, const std::function<void()>& action) {
    next_ = acknowledged_;
    change();
    try {
      action();
      acknowledged_ = next_;
      doubtful_.clear();
    } catch (const Error&) {
      doubtful_.push_back(next_);
      failed_ = true;
    }
  }

  bool begin(FileSystem& fs, bool create) {
    try {
      store_ = open_store(fs, {.create = create});
      EXPECT_EQ(contents(*store_) == acknowledged_ || !doubtful_.empty(), true);
      if (!doubtful_.empty()) {
        check(contents(*store_));
        acknowledged_ = contents(*store_);
        doubtful_.clear();
      }
      return true;
    } catch (const Error&) {  // from opening, or from the first use of a collection
      store_.reset();
      return false;
    }
  }

  void end() {
    try {
      store_->close();
    } catch (const Error&) {
      failed_ = true;
    }
    store_.reset();
    completed_ = !failed_;
  }

  void make(const std::string& name) {
    step([&] { next_[name]; }, [&] { store_->create_collection(name, toy_spec()); });
  }

  void put(const Rows& rows) {
    if (!acknowledged_.contains("docs")) return;
    step(
        [&] {
          for (const auto& [id, row] : rows) next_["docs"][id] = row;
        },
        [&] { upsert(*store_, rows); });
  }

  void erase(const std::vector<int64_t>& ids) {
    if (!acknowledged_.contains("docs")) return;
    step(
        [&] {
          for (const int64_t id : ids) next_["docs"].erase(id);
        },
        [&] { write(*store_, Op::erase(ids)); });
  }

  // Rows with the settings that they need, which must come together.
  void learn(const Rows& rows, const std::string& settings) {
    if (!acknowledged_.contains("docs")) return;
    step(
        [&] {
          for (const auto& [id, row] : rows) next_["docs"][id] = row;
          next_["docs"][kSettings] = {settings, std::nullopt};
        },
        [&] { write(*store_, Op(Verb::kUpsert, rows).learn("", settings)); });
  }

  void transaction() {
    if (!acknowledged_.contains("docs") || !acknowledged_.contains("more")) return;
    step(
        [&] {
          next_["docs"].erase(0);
          for (const auto& [id, row] : batch_of(9, 0, 3)) next_["more"][id] = row;
        },
        [&] {
          write(*store_, {Op::erase({0}), Op(Verb::kUpsert, batch_of(9, 0, 3), "more")});
        });
  }

  std::shared_ptr<Store> store_;
  Model acknowledged_;
  Model next_;
  std::vector<Model> doubtful_;
  bool failed_ = false;
  bool completed_ = false;
};

}  // namespace lamina
