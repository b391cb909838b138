// Goal: after a power cut, all that was acknowledged and nothing in part. Method: each scenario is cut at each of its
// operations, and opened with many of the sets of unsynced bytes and directory entries that may have survived; after
// syncs that fail and lose what they were to sync; and cut again while it recovers from the first cut or kill.
//
// A schedule is a scenario, an operation and what survived; only those that leave different files count. How many of
// them, and the seed, is said by the environment: LAMINA_CUTS, LAMINA_LOST_SYNCS, LAMINA_COMPOUND; LAMINA_SEED.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "store/scenarios.h"

namespace lamina {
namespace {

void add_files(FileSystem& fs, const std::string& directory, std::vector<std::byte>* all) {
  if (!fs.exists(directory)) return;
  const auto add_name = [&](const std::string& name) {
    const Bytes bytes = as_bytes(name);
    all->insert(all->end(), bytes.begin(), bytes.end());
    all->push_back(std::byte{0});
  };
  add_name(directory);
  for (const std::string& name : fs.list(directory)) {
    add_name(name);
    if (name.find('.') == std::string::npos && name != "LOCK") continue;
    const auto file = fs.open(join(directory, name));
    const size_t at = all->size();
    all->resize(at + file->size());
    file->read_at(0, std::span(*all).subspan(at));
  }
}

// Of all files and their names.
uint64_t fingerprint(FileSystem& fs) {
  std::vector<std::byte> all;
  for (const char* folder : {"", "/roots", "/log", "/files", "/scratch"})
    add_files(fs, kPath + std::string(folder), &all);
  return load_le<uint64_t>(kToyHasher.digest(all).data());
}

// A store whose user is gone.
struct Wreck {
  std::unique_ptr<MemoryFileSystem> files = std::make_unique<MemoryFileSystem>();
  Promise promise;
  std::vector<OperationRecord> trace;
};

// What is done with a store after a crash.
void recover_and_go_on(Life& life) {
  life.open();
  life.make("docs");
  life.put(batch_of(7, 2, 2));
  life.seal();
  life.put(batch_of(8, 3, 2));
  life.close();
}

// Plays until the power goes at the nth operation. At `lost`, a sync fails and what it was to sync is lost.
Wreck play(void (*run)(Life&), uint64_t nth, const std::optional<OperationRule>& lost = {}, Wreck wreck = {}) {
  MemoryFileSystem& files = *wreck.files;
  FaultFileSystem faulty(files);
  if (lost) faulty.fail({.rule = *lost, .effect = [&](const std::string& path) { files.lose_unsynced(path); }});
  faulty.fail({.rule = {.nth = nth}, .sticky = true, .half_write = true});
  {
    Life life(faulty, std::move(wreck.promise), [&] { return faulty.operations() > nth; });
    run(life);
    wreck.promise = life.promise();
  }
  wreck.trace = faulty.trace();
  return wreck;
}

class PowerCutTest : public testing::TestWithParam<Scenario> {
 protected:
  // This scenario's share of all schedules of a kind.
  uint64_t wanted(const char* variable, uint64_t total) const {
    return from_environment(variable, total) / scenarios().size() + 1;
  }
  std::vector<OperationRecord> trace() const { return play(GetParam().run, ~uint64_t{0}).trace; }
  uint64_t any_set() { return 2 + random_.uniform(uint64_t{1} << 40); }

  // Cuts the power and checks what is left, unless it was seen before. `when`: what else makes the schedule.
  bool check(const Wreck& wreck, uint64_t when, uint64_t set) {
    const auto survivor = wreck.files->after_power_cut(set);
    if (!seen_.insert({when, fingerprint(*survivor)}).second) return false;
    SCOPED_TRACE(testing::Message() << "what survived: " << set);
    try {
      expect_kept(wreck.promise.after_power_cut(), *survivor);
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
    return true;
  }

  // At most so many different schedules from one wreck.
  void check_some(const Wreck& wreck, uint64_t when, uint64_t most) {
    constexpr int kPatience = 12;
    for (int in_vain = 0; most > 0 && in_vain < kPatience && !HasFailure();) {
      if (check(wreck, when, any_set())) {
        --most;
      } else {
        ++in_vain;
      }
    }
  }

  void report(const char* what, uint64_t least) {
    RecordProperty(what, static_cast<int>(seen_.size()));
    EXPECT_TRUE(seen_.size() >= least || HasFailure()) << seen_.size() << " different schedules";
  }

  Random random_{from_environment("LAMINA_SEED", 1)};
  std::set<std::pair<uint64_t, uint64_t>> seen_;  // when, and what survived
};

TEST_P(PowerCutTest, LosesNothingAcknowledged) {
  constexpr int kRounds = 20;
  const uint64_t schedules = wanted("LAMINA_CUTS", 20'000);
  const uint64_t operations = trace().size();
  const uint64_t step = std::max<uint64_t>(1, operations * 3 / schedules);  // few are spread over the whole life
  for (int round = 0; round < kRounds && seen_.size() < schedules; ++round) {
    for (uint64_t nth = random_.uniform(step); nth < operations && !HasFailure(); nth += step) {
      SCOPED_TRACE(testing::Message() << "cut at operation " << nth);
      const Wreck wreck = play(GetParam().run, nth);
      for (const uint64_t extreme : {0, 1}) check(wreck, nth, extreme);
      const uint64_t left = schedules - std::min(schedules, seen_.size());
      check_some(wreck, nth, left * step / (operations - nth) + 1);
    }
  }
  report("cuts", schedules);
}

TEST_P(PowerCutTest, AfterASyncThatFailedAndLost) {
  const uint64_t schedules = wanted("LAMINA_LOST_SYNCS", 2'000);
  const std::vector<OperationRecord> operations = trace();
  std::vector<OperationRule> syncs;
  for (const FileOperation kind : {FileOperation::kSync, FileOperation::kSyncDirectory}) {
    const auto is_kind = [&](const OperationRecord& record) { return record.operation == kind; };
    const auto count = static_cast<uint64_t>(std::count_if(operations.begin(), operations.end(), is_kind));
    for (uint64_t nth = 0; nth < count; ++nth) syncs.push_back({.operation = kind, .nth = nth});
  }
  for (uint64_t turn = 0; turn < schedules * 4 && seen_.size() < schedules && !HasFailure(); ++turn) {
    const uint64_t sync = turn % syncs.size();
    const uint64_t nth = turn < syncs.size() ? operations.size() : random_.uniform(operations.size());
    SCOPED_TRACE(testing::Message() << to_string(*syncs[sync].operation) << " " << syncs[sync].nth
                                    << " fails, cut at operation " << nth);
    const Wreck wreck = play(GetParam().run, nth, syncs[sync]);
    const uint64_t when = sync << 32 | nth;
    check(wreck, when, 0);
    check_some(wreck, when, 3);
  }
  report("lost syncs", 1);
}

TEST_P(PowerCutTest, DuringTheRecoveryFromACrash) {
  constexpr uint64_t kLongest = 90;  // operations of a recovery, and what follows
  const uint64_t schedules = wanted("LAMINA_COMPOUND", 4'000);
  const uint64_t operations = trace().size();
  for (uint64_t turn = 0; turn < schedules * 4 && seen_.size() < schedules && !HasFailure(); ++turn) {
    const uint64_t first = random_.uniform(operations);
    const uint64_t second = random_.uniform(kLongest);
    const bool killed = random_.uniform(2) == 0;  // else the power is cut, twice
    const uint64_t set = any_set();
    SCOPED_TRACE(testing::Message() << (killed ? "killed" : "cut") << " at operation " << first << ", what survived: "
                                    << set << ", cut at operation " << second << " of the recovery");
    Wreck wreck = play(GetParam().run, first);
    if (!killed) wreck = {wreck.files->after_power_cut(set), wreck.promise.after_power_cut(), {}};
    check_some(play(recover_and_go_on, second, {}, std::move(wreck)), first << 32 | second << 1 | (killed ? 1 : 0), 2);
  }
  report("compound", schedules);
}

INSTANTIATE_TEST_SUITE_P(Of, PowerCutTest, testing::ValuesIn(scenarios()), scenario_name);

}  // namespace
}  // namespace lamina
