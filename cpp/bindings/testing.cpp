// A file system that fails or kills on demand, in the place of the system's own, and what threads have waited for. In
// test builds only.
#include "bindings/bindings.h"
#include "bindings/gil_trace.h"
#include "bindings/open_store.h"
#include "io/file.h"

#ifdef LAMINA_TESTING

#include <pybind11/stl.h>

#include <atomic>
#include <stdexcept>

#include "io/fault.h"
#include "io/wait_trace.h"

namespace py = pybind11;

namespace lamina {
namespace {

using namespace py::literals;

std::atomic<bool> installed = false;

// Never destroyed: stores that are open at exit still use it.
FaultFileSystem& faults() {
  static auto& system = *new FaultFileSystem(FileSystem::posix());
  return system;
}

OperationRule rule_of(const std::string& kind, std::string path, uint64_t nth) {
  OperationRule rule{.operation = operation_of(kind), .path_part = std::move(path), .nth = nth};
  if (!kind.empty() && !rule.operation) throw std::invalid_argument("unknown operation '" + kind + "'");
  installed = true;
  return rule;
}

void fail_nth(const std::string& kind, const std::string& path, uint64_t nth, int error, bool sticky) {
  faults().fail({.rule = rule_of(kind, path, nth), .error = error, .sticky = sticky});
}

void kill_at(const std::string& kind, const std::string& path, uint64_t nth, const std::string& when) {
  if (when != "before" && when != "after") throw std::invalid_argument("when: before or after, not '" + when + "'");
  faults().kill_at(rule_of(kind, path, nth), when == "before" ? Moment::kBefore : Moment::kAfter);
}

std::vector<std::string> trace() {
  installed = true;
  std::vector<std::string> lines;
  for (const OperationRecord& record : faults().trace()) {
    lines.push_back(std::string(to_string(record.operation)) + " " + record.path);
  }
  return lines;
}

void reset() {
  faults().heal();
  installed = false;
}

}  // namespace

FileSystem& file_system() { return installed ? static_cast<FileSystem&>(faults()) : FileSystem::posix(); }

void bind_testing(py::module_& m) {
  m.def("testing_fail_nth", &fail_nth, "kind"_a, "path"_a, "nth"_a, "errno"_a, "sticky"_a);
  m.def("testing_kill_at", &kill_at, "kind"_a, "path"_a, "nth"_a, "when"_a);
  m.def("testing_trace", &trace);
  m.def("testing_reset", &reset);
#ifdef __linux__
  m.def("testing_waits", [] {
    const WaitTrace trace = WaitTrace::of_this_thread();
    return py::make_tuple(trace.locks, trace.waits, trace.syncs);
  });
  m.def("testing_gil_hold", &longest_gil_hold);
#endif
}

}  // namespace lamina

#else

namespace lamina {

FileSystem& file_system() { return FileSystem::posix(); }

}  // namespace lamina

#endif
