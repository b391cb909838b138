// What a store owes to whoever used it, as a toy model that is plainly right, and the comparison with what is found.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "store/toy_store.h"

namespace lamina {

struct Contents {
  Rows rows;
  std::string settings;
  std::map<std::string, Rows> tags;
  bool operator==(const Contents&) const = default;
};
using Model = std::map<std::string, Contents>;

inline void PrintTo(const Contents& contents, std::ostream* out) {
  *out << testing::PrintToString(contents.rows) << " " << contents.settings << testing::PrintToString(contents.tags);
}

// `tags`: the names to look for.
inline Model contents_of(Store& store, const std::set<std::string>& tags) {
  Model model;
  for (const std::string& name : store.collections()) {
    const auto snapshot = store.collection(name)->snapshot();
    model[name] = {rows_of(*snapshot), snapshot->spec->settings, {}};
    for (const std::string& tag : tags) {
      try {
        model[name].tags[tag] = rows_of(*store.snapshot(name, {.tag = tag}));
      } catch (const NotFoundError&) {
        model[name].tags.erase(tag);
      }
    }
  }
  return model;
}

struct Promise {
  using Version = std::pair<std::string, uint64_t>;  // of a collection

  bool made = false;  // it was there once
  Model acknowledged;
  std::vector<Model> in_doubt;    // instead of that: what steps that failed since may have made of it
  std::vector<Model> unsynced;    // instead of that, after a power cut: earlier ones, by the policy
  std::map<Version, Rows> noted;  // versions that can be had, the newest or not

  Promise after_power_cut() const {
    Promise left = *this;
    left.in_doubt.insert(left.in_doubt.end(), unsynced.begin(), unsynced.end());
    left.unsynced.clear();
    return left;
  }

  std::set<std::string> tags() const {
    std::set<std::string> all;
    const auto add = [&](const Model& model) {
      for (const auto& [name, contents] : model) {
        for (const auto& [tag, rows] : contents.tags) all.insert(tag);
      }
    };
    add(acknowledged);
    for (const Model& model : in_doubt) add(model);
    for (const Model& model : unsynced) add(model);
    return all;
  }

  // Returns what it found.
  Model expect(Store& store) const {
    const Model found = contents_of(store, tags());
    const bool known = found == acknowledged || std::find(in_doubt.begin(), in_doubt.end(), found) != in_doubt.end();
    EXPECT_TRUE(known) << "found " << testing::PrintToString(found) << "\nacknowledged "
                       << testing::PrintToString(acknowledged) << "\nand " << in_doubt.size() << " in doubt";
    for (const auto& [version, rows] : noted) {
      try {
        EXPECT_EQ(rows_of(*store.snapshot(version.first, {.version = version.second})), rows);
      } catch (const NotFoundError& error) {
        ADD_FAILURE() << error.what();
      }
    }
    return found;
  }
};

// Opened by a reader, by a writer, and again: one of the states that are owed, and never an older one than before. The
// store verifies and works.
inline void expect_kept(const Promise& promise, FileSystem& fs) {
  uint64_t seen = 0;
  try {
    const auto reader = open_reader(fs);
    promise.expect(*reader);
    seen = reader->version();
  } catch (const NotFoundError&) {
    EXPECT_FALSE(promise.made) << "the store is gone";
    return;
  }
  Model model;
  {
    const auto store = open_store(fs);
    model = promise.expect(*store);
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
  EXPECT_EQ(contents_of(*again, promise.tags()), model);
}

}  // namespace lamina
