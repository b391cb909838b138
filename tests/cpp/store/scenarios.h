// All the lives. Each is played with every operation on files failing, and with the power cut at each.
#pragma once

#include <vector>

#include "base/environment.h"
#include "store/version_scenarios.h"

namespace lamina {

namespace scenario {

inline Rows owed(Rows rows) {
  for (auto& [id, row] : rows) row.vector.reset();
  return rows;
}

}  // namespace scenario

inline std::vector<Scenario> write_scenarios() {
  using namespace scenario;
  return {
      {"FirstOpen",
       [](Life& life) {
         life.open();
         life.close();
       }},
      {"FirstOpenOfAnEmptyDirectory",
       [](Life& life) {
         try {
           life.fs().make_directory(kPath);
         } catch (const Error&) {
           return;
         }
         begin(life);
         life.close();
       }},
      {"FirstOpenKilledBeforeAnythingElse",
       [](Life& life) {
         life.open();
         life.kill();
         begin(life);
         life.close();
       }},
      {"FirstWrite",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 3));
         life.close();
       }},
      {"WritesOneByOne",
       [](Life& life) {
         begin(life);
         for (int batch = 0; batch < 6; ++batch) life.put(batch_of(batch, 2 * batch, 3));
         life.close();
       }},
      {"ReopenedAndLeftAlone",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 3));
         life.close();
         life.open();
         life.close();
         life.open();
         life.close();
       }},
      {"ReopenedAndWritten",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 3));
         life.close();
         life.open();
         life.put(batch_of(2, 1, 3));
         life.close();
       }},
      {"UpdatesInPlace",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 5));
         life.put(batch_of(2, 0, 5));
         life.seal();
         life.put(batch_of(3, 1, 2));
         life.retell(batch_of(4, 2, 2));
         life.close();
       }},
      {"Owed",
       [](Life& life) {
         begin(life);
         life.put(owed(batch_of(1, 0, 4)));
         life.seal();
         life.put(batch_of(2, 1, 2));
         life.put(owed(batch_of(3, 2, 3)));
         life.close();
       }},
      {"Deletes",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 6));
         life.erase({1, 3, 77});
         life.seal();
         life.erase({0, 4});
         life.seal();
         life.erase({2});
         life.close();
       }},
      {"Clear",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 4));
         life.seal();
         life.put(batch_of(2, 3, 3));
         life.clear();
         life.put(batch_of(3, 0, 2));
         life.close();
       }},
      {"RefusedWrites",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 3));
         life.refused(batch_of(2, 2, 3));
         life.put(batch_of(3, 3, 2));
         life.refused(batch_of(2, 4, 1));
         life.close();
       }},
      {"TransactionOverTwoCollections",
       [](Life& life) {
         begin(life);
         life.make("more");
         life.put(batch_of(1, 0, 4));
         life.move(batch_of(2, 0, 2), "docs", "more");
         life.move(batch_of(3, 1, 1), "more", "docs");
         life.close();
       }},
      {"TransactionAndKill",
       [](Life& life) {
         begin(life);
         life.make("more");
         life.put(batch_of(1, 0, 4));
         life.seal();
         life.move(batch_of(2, 0, 2), "docs", "more");
         life.kill();
         life.open();
         life.move(batch_of(3, 0, 2), "more", "docs");
         life.kill();
       }},
      {"Seal",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 6));
         life.seal();
         life.close();
       }},
      {"SealOfTwoCollections",
       [](Life& life) {
         begin(life);
         life.make("more");
         life.put(batch_of(1, 0, 3));
         life.put(batch_of(2, 0, 3), "more");
         life.seal();
         life.put(batch_of(3, 5, 3), "more");
         life.seal();
         life.close();
       }},
      {"SealOfNothing",
       [](Life& life) {
         begin(life);
         life.seal();
         life.put(batch_of(1, 0, 2));
         life.seal();
         life.seal();
         life.close();
       }},
      {"RotationByTheLimitOfTheLog",
       [](Life& life) {
         begin(life, {.log_limit = 600});
         for (int batch = 0; batch < 6; ++batch) life.put(batch_of(batch, batch, 3));
         life.close();
       }},
      {"RotationAndKill",
       [](Life& life) {
         begin(life, {.log_limit = 500});
         for (int batch = 0; batch < 3; ++batch) life.put(batch_of(batch, batch, 3));
         life.kill();
         life.open({.log_limit = 500});
         for (int batch = 0; batch < 3; ++batch) life.put(batch_of(batch, batch + 2, 3));
         life.kill();
         life.open();
         life.close();
       }},
      {"Merge",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 5));
         life.seal();
         life.put(batch_of(2, 3, 5));
         life.optimize();
         life.close();
       }},
      {"MergeOfDeadRows",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 6));
         life.seal();
         life.erase({0, 1, 2});
         life.optimize();
         life.erase({3, 4, 5});
         life.optimize();
         life.close();
       }},
      {"MergeOfOneOfTwo",
       [](Life& life) {
         begin(life);
         life.make("more");
         life.put(batch_of(1, 0, 3));
         life.put(batch_of(2, 0, 3), "more");
         life.seal();
         life.put(batch_of(3, 2, 3), "more");
         life.put(batch_of(4, 9, 1));
         life.optimize("more");
         life.close();
       }},
      {"MergeAndKill",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 4));
         life.seal();
         life.put(batch_of(2, 2, 4));
         life.optimize();
         life.put(batch_of(3, 1, 2));
         life.kill();
         life.open();
         life.optimize();
         life.kill();
       }},
      {"Upkeep",
       [](Life& life) {
         begin(life, {.log_limit = 300});
         for (int batch = 0; batch < 5; ++batch) {
           life.put(batch_of(batch, batch, 2));
           life.maintain();
         }
         life.close();
       }},
      {"Settings",
       [](Life& life) {
         begin(life);
         life.learn(batch_of(10, 30, 2), "one");
         life.put(batch_of(1, 0, 2));
         life.learn(batch_of(10, 30, 2), "two");
         life.close();
         life.open();
         life.learn(batch_of(10, 30, 2), "three");
         life.kill();
         life.open();
         life.close();
       }},
      {"SettingsBetweenSealAndMerge",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 2));
         life.seal();
         life.learn(batch_of(10, 30, 2), "one");
         life.put(batch_of(2, 1, 2));
         life.optimize();
         life.learn(batch_of(10, 30, 2), "two");
         life.close();
       }},
      {"Drop",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 3));
         life.seal();
         life.drop("docs");
         life.close();
       }},
      {"DropWithRowsInTheLog",
       [](Life& life) {
         begin(life);
         life.make("more");
         life.put(batch_of(1, 0, 3));
         life.put(batch_of(2, 0, 3), "more");
         life.drop("docs");
         life.put(batch_of(3, 2, 3), "more");
         life.kill();
         life.open();
         life.close();
       }},
      {"DropAndMakeAgain",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 3));
         life.drop("docs");
         life.make("docs");
         life.put(batch_of(2, 2, 3));
         life.close();
       }},
      {"ManyCollections",
       [](Life& life) {
         life.open();
         for (const char* name : {"a", "b", "c", "d", "e"}) {
           life.make(name);
           life.put(batch_of(1, 0, 2), name);
         }
         life.drop("c");
         life.seal();
         life.close();
       }},
      {"KillAndRecover",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 3));
         life.put(batch_of(2, 2, 3));
         life.kill();
         life.open();
         life.put(batch_of(3, 4, 2));
         life.close();
       }},
      {"KillAfterKill",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 3));
         life.kill();
         life.open();
         life.kill();
         life.open();
         life.put(batch_of(2, 2, 3));
         life.kill();
         life.open();
         life.close();
       }},
      {"KillAfterSeal",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 3));
         life.seal();
         life.kill();
         life.open();
         life.put(batch_of(2, 2, 3));
         life.seal();
         life.put(batch_of(3, 3, 1));
         life.kill();
         life.open();
         life.close();
       }},
      {"ReaderBesideTheWriter",
       [](Life& life) {
         begin(life);
         life.read();
         life.put(batch_of(1, 0, 3));
         life.read();
         life.seal();
         life.read();
         life.put(batch_of(2, 2, 3));
         life.optimize();
         life.read();
         life.close();
         life.read();
       }},
      {"SweepingBesideAPinnedReader",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 3));
         life.seal();
         life.read();
         life.put(batch_of(2, 2, 3));
         life.optimize();
         life.drop("docs");
         life.stop_reading();
         life.make("more");
         life.close();
       }},
      {"SnapshotHeldWhileAllChanges",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 4));
         life.hold();
         life.put(batch_of(2, 2, 4));
         life.optimize();
         life.compare_held();
         life.drop("docs");
         life.compare_held();
         life.close();
       }},
      {"SecondWriter",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 2));
         life.intrude();
         life.put(batch_of(2, 1, 2));
         life.kill();
         life.open();
         life.intrude();
         life.close();
       }},
      {"SyncedByTheSystem",
       [](Life& life) {
         begin(life, {.durability = Durability::kOs});
         for (int batch = 0; batch < 4; ++batch) life.put(batch_of(batch, batch, 2));
         life.kill();
         life.open({.durability = Durability::kOs});
         life.put(batch_of(5, 1, 2));
         life.close();
       }},
      {"SyncedByCall",
       [](Life& life) {
         begin(life, {.durability = Durability::kOs});
         life.put(batch_of(1, 0, 2));
         life.sync();
         life.put(batch_of(2, 1, 2));
         life.put(batch_of(3, 2, 2));
         life.sync();
         life.erase({1});
         life.seal();
         life.put(batch_of(4, 3, 1));
         life.close();
       }},
      {"SyncedByTheSecond",
       [](Life& life) {
         begin(life, {.durability = Durability::kInterval});
         for (int batch = 0; batch < 4; ++batch) life.put(batch_of(batch, batch, 2));
         life.make("more");
         life.put(batch_of(5, 1, 2), "more");
         life.close();
       }},
      {"CloseThatSealsALargeHead",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 1000));
         life.close();
         life.open();
         life.close();
       }},
      {"AllInOne",
       [](Life& life) {
         begin(life);
         life.make("more");
         life.put(batch_of(1, 0, 6));
         life.move(batch_of(9, 0, 3), "docs", "more");
         life.erase({1, 3, 77});
         life.seal();
         life.put(batch_of(2, 4, 6));
         life.erase({0, 8});
         life.optimize();
         life.put(batch_of(3, 2, 2));
         life.close();
         life.open();
         life.put(batch_of(4, 20, 3));
         life.learn(batch_of(10, 30, 2), "tuned");
         life.drop("more");
         life.put(batch_of(5, 5, 5));
         life.close();
       }},
  };
}

inline const std::vector<Scenario>& scenarios() {
  static const std::vector<Scenario> all = [] {
    std::vector<Scenario> both = write_scenarios();
    for (const Scenario& one : version_scenarios()) both.push_back(one);
    return both;
  }();
  return all;
}

}  // namespace lamina
