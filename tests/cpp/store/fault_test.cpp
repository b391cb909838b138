// Goal: whatever call to the system fails, a step succeeds or throws a typed error, and the store opens again with all
// that was acknowledged. Method: each operation on files of each scenario fails, in each way in which it can, once or
// for good: every tenth, or with LAMINA_FAULT_STEP=1 all.
#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <string>
#include <vector>

#include "store/scenarios.h"

namespace lamina {
namespace {

struct Failure {
  const char* name;
  std::set<FileOperation> of;  // any, if empty
  int error;
  bool half = false;
};

using enum FileOperation;

const std::vector<Failure>& failures() {
  static const std::vector<Failure> all = {
      {"EIO", {}, EIO},
      {"ENOSPC", {kCreate, kWrite, kSync, kClose, kLock, kMakeDirectory, kRename, kSyncDirectory}, ENOSPC},
      {"EINTR", {kOpen, kCreate, kRead, kWrite, kSync, kClose, kLock, kSyncDirectory}, EINTR},
      {"EMFILE", {kOpen, kCreate, kMap, kLock, kList, kRemove, kSyncDirectory}, EMFILE},
      {"short read", {kRead}, 0, true},
      {"short write", {kWrite}, ENOSPC, true},
  };
  return all;
}

class FaultTest : public testing::TestWithParam<Scenario> {
 protected:
  static std::vector<OperationRecord> operations() {
    MemoryFileSystem memory;
    FaultFileSystem faulty(memory);
    Life life(faulty);
    GetParam().run(life);
    EXPECT_FALSE(life.failed());
    expect_kept(life.promise(), memory);
    return faulty.trace();
  }

  // The nth operation and, if the fault stays, those of its kind alone.
  static OperationRule only(const std::vector<OperationRecord>& trace, uint64_t nth) {
    OperationRule rule{.operation = trace[nth].operation};
    for (uint64_t i = 0; i < nth; ++i) rule.nth += trace[i].operation == trace[nth].operation ? 1 : 0;
    return rule;
  }

  static void try_with(const Fault& fault) {
    MemoryFileSystem memory;
    FaultFileSystem faulty(memory);
    faulty.fail(fault);
    Promise promise;
    try {
      {
        Life life(faulty);
        GetParam().run(life);
        promise = life.promise();
      }
      expect_kept(promise, memory);
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
  }
};

TEST_P(FaultTest, EndsInSuccessOrInATypedErrorAndAStoreThatOpens) {
  const std::vector<OperationRecord> trace = operations();
  int faults = 0;
  for (uint64_t nth = 0; nth < trace.size(); nth += from_environment("LAMINA_FAULT_STEP", 10)) {
    for (const Failure& failure : failures()) {
      if (!failure.of.empty() && !failure.of.contains(trace[nth].operation)) continue;
      for (const bool sticky : {false, true}) {
        SCOPED_TRACE(testing::Message() << failure.name << (sticky ? ", for good," : ", once,") << " at operation "
                                        << nth << ", " << to_string(trace[nth].operation) << " " << trace[nth].path);
        try_with({.rule = failure.half ? only(trace, nth) : OperationRule{.nth = nth},
                  .error = failure.error,
                  .sticky = sticky,
                  .half_write = failure.half,
                  .half_read = failure.half});
        ++faults;
        if (HasFailure()) return;
      }
    }
  }
  RecordProperty("faults", faults);
}

INSTANTIATE_TEST_SUITE_P(Of, FaultTest, testing::ValuesIn(scenarios()), scenario_name);

}  // namespace
}  // namespace lamina
