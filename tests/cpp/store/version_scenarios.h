// Lives with tags, branches, renames, rollbacks, older versions and their end.
#pragma once

#include <vector>

#include "store/scenario.h"

namespace lamina {

inline std::vector<Scenario> version_scenarios() {
  using namespace scenario;
  return {
      {"TagsOfAGrowingCollection",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 4));
         life.tag("one");
         life.put(batch_of(2, 2, 4));
         life.seal();
         life.erase({0, 3});
         life.tag("two");
         life.optimize();
         life.close();
         life.open();
         life.put(batch_of(3, 1, 2));
         life.tag("three");
         life.kill();
         life.open();
         life.close();
       }},
      {"Untag",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 4));
         life.tag("one");
         life.put(batch_of(2, 2, 4));
         life.tag("two");
         life.untag("one");
         life.optimize();
         life.cleanup();
         life.kill();
         life.open();
         life.untag("two");
         life.cleanup();
         life.close();
       }},
      {"BranchAndWriteToIt",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 4));
         life.seal();
         life.put(batch_of(2, 3, 2));
         life.branch("side");
         life.put(batch_of(3, 2, 4), "side");
         life.erase({0}, "side");
         life.put(batch_of(4, 1, 1));
         life.optimize("side");
         life.kill();
         life.open();
         life.put(batch_of(5, 20, 2), "side");
         life.close();
       }},
      {"BranchOfWhatPassesAFilter",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 5));
         life.seal();
         life.put(batch_of(2, 3, 4));
         life.erase({2});
         life.branch_of_even("even");
         life.retell(batch_of(3, 4, 1), "even");
         life.put(batch_of(4, 0, 2));
         life.optimize("even");
         life.kill();
         life.open();
         life.branch_of_even("again", "even");
         life.erase({0, 4}, "again");
         life.close();
       }},
      {"BranchOfATag",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 4));
         life.tag("one");
         life.put(batch_of(2, 2, 4));
         life.seal();
         life.branch_at("one", "side");
         life.put(batch_of(3, 1, 2), "side");
         life.untag("one");
         life.optimize();
         life.cleanup();
         life.kill();
         life.open();
         life.close();
       }},
      {"PromoteABranch",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 4));
         life.tag("one");
         life.branch("side");
         life.put(batch_of(2, 2, 4), "side");
         life.tag("two", "side");
         life.rename("side", "docs");
         life.put(batch_of(3, 9, 1));
         life.kill();
         life.open();
         life.rollback("one");
         life.cleanup();
         life.close();
       }},
      {"RenameAndMakeAgain",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 3));
         life.rename("docs", "more");
         life.put(batch_of(2, 2, 3), "more");
         life.make("docs");
         life.put(batch_of(3, 0, 2));
         life.kill();
         life.open();
         life.rename("more", "docs");
         life.put(batch_of(4, 1, 1));
         life.close();
       }},
      {"Rollback",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 4));
         life.tag("one");
         life.put(batch_of(2, 2, 4));
         life.note();
         life.seal();
         life.erase({0, 3});
         life.rollback("one");
         life.note();
         life.put(batch_of(3, 3, 3));
         life.kill();
         life.open();
         life.rollback("one");
         life.close();
       }},
      {"OlderVersions",
       [](Life& life) {
         begin(life);
         life.note();
         life.put(batch_of(1, 0, 4));
         life.note();
         life.seal();
         life.put(batch_of(2, 2, 4));
         life.note();
         life.erase({0, 3});
         life.note();
         life.optimize();
         life.kill();
         life.open();
         life.put(batch_of(3, 1, 1));
         life.note();
         life.read();
         life.maintain();
         life.close();
       }},
      {"Cleanup",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 4));
         life.seal();
         life.put(batch_of(2, 2, 4));
         life.tag("one");
         life.erase({0, 3});
         life.optimize();
         life.cleanup();
         life.put(batch_of(3, 1, 2));
         life.kill();
         life.open();
         life.optimize();
         life.cleanup();
         life.close();
       }},
      {"CleanupBesideAHeldVersion",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 4));
         life.note();
         life.seal();
         life.put(batch_of(2, 2, 4));
         life.optimize();
         life.hold_noted();
         life.cleanup();
         life.compare_held();
         life.put(batch_of(3, 1, 1));
         life.optimize();
         life.cleanup();
         life.compare_held();
         life.let_go_of_held();
         life.cleanup();
         life.close();
       }},
      {"CleanupBesideAReader",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 3));
         life.tag("one");
         life.read();
         life.put(batch_of(2, 2, 3));
         life.optimize();
         life.cleanup();
         life.read();
         life.untag("one");
         life.cleanup();
         life.read();
         life.close();
       }},
      {"Purge",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 5));
         life.seal();
         life.put(batch_of(2, 4, 3));
         life.purge({1, 4, 77});
         life.put(batch_of(3, 4, 1));
         life.kill();
         life.open();
         life.purge({4, 0});
         life.close();
       }},
      {"PurgeOfTagsAndBranches",
       [](Life& life) {
         begin(life);
         life.put(batch_of(1, 0, 4));
         life.tag("one");
         life.branch("side");
         life.put(batch_of(2, 2, 3), "side");
         life.erase({1});
         life.purge({1, 3});
         life.put(batch_of(3, 3, 1), "side");
         life.kill();
         life.open();
         life.rollback("one");
         life.close();
       }},
      {"VersionsSyncedByTheSystem",
       [](Life& life) {
         begin(life, {.durability = Durability::kOs});
         life.put(batch_of(1, 0, 3));
         life.tag("one");
         life.put(batch_of(2, 2, 3));
         life.branch("side");
         life.put(batch_of(3, 1, 3), "side");
         life.put(batch_of(4, 0, 1));
         life.rename("side", "docs");
         life.kill();
         life.open({.durability = Durability::kOs});
         life.rollback("one");
         life.cleanup();
         life.put(batch_of(5, 1, 2));
         life.close();
       }},
  };
}

}  // namespace lamina
