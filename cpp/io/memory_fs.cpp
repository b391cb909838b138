#include "io/memory_fs.h"

#ifdef LAMINA_TESTING

#include <algorithm>
#include <cerrno>
#include <map>
#include <mutex>

#include "base/error.h"
#include "base/mutant.h"
#include "io/memory_file.h"

namespace lamina {
namespace {

using FilePointer = std::shared_ptr<MemoryFile>;  // null stands for a directory
using Tree = std::map<std::string, FilePointer>;  // by path

// A change of the tree: `gone` leaves it and `there` comes to be, at once; either may be empty.
struct Change {
  std::string gone;
  std::string there;
  FilePointer file;
  bool durable = false;

  bool is_in(const std::string& directory) const;
};

std::string normal(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

std::string parent(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool Change::is_in(const std::string& directory) const {
  return (!gone.empty() && parent(gone) == directory) || (!there.empty() && parent(there) == directory);
}

std::vector<std::string> children(const Tree& tree, const std::string& directory) {
  const std::string prefix = directory == "." ? "" : join(directory, "");
  std::vector<std::string> names;
  for (auto at = tree.lower_bound(prefix); at != tree.end() && at->first.starts_with(prefix); ++at) {
    const std::string name = at->first.substr(prefix.size());
    if (!name.empty() && name != "." && name.find('/') == std::string::npos) names.push_back(name);
  }
  return names;
}

// After a power cut, a change may meet a tree in which an earlier one did not happen.
void carry_out(Tree& tree, const Change& change) {
  if (!change.there.empty()) {
    if (!tree.contains(parent(change.there))) return;
    tree[change.there] = change.file;
  }
  if (!change.gone.empty() && children(tree, change.gone).empty()) tree.erase(change.gone);
}

}  // namespace

struct MemoryFileSystem::State {
  const std::shared_ptr<std::mutex> mutex = std::make_shared<std::mutex>();  // guards all below and every file
  Tree tree{{"/", nullptr}, {".", nullptr}};
  Tree durable = tree;          // without `changes`
  std::vector<Change> changes;  // of `tree` since `durable`, in order

  void change(Change what) {
    carry_out(tree, what);
    changes.push_back(std::move(what));
  }

  Tree::iterator find(const std::string& path, const char* doing) {
    const auto found = tree.find(path);
    if (found == tree.end()) throw StorageError(ENOENT, path, doing);
    return found;
  }

  FilePointer file(const std::string& path, const char* doing) {
    const auto found = find(path, doing);
    if (!found->second) throw StorageError(EISDIR, path, doing);
    return found->second;
  }

  void require_directory(const std::string& path, const std::string& whose, const char* doing) {
    const auto found = tree.find(path);
    if (found == tree.end()) throw StorageError(ENOENT, whose, doing);
    if (found->second) throw StorageError(ENOTDIR, whose, doing);
  }

  FilePointer create(const std::string& path, const char* doing) {
    require_directory(parent(path), path, doing);
    if (tree.contains(path)) throw StorageError(EEXIST, path, doing);
    auto file = std::make_shared<MemoryFile>();
    change({.gone = "", .there = path, .file = file});
    return file;
  }

  MemoryHandle handle(FilePointer file, const std::string& path) const { return {mutex, std::move(file), path}; }
};

MemoryFileSystem::MemoryFileSystem() : state_(std::make_shared<State>()) {}
MemoryFileSystem::~MemoryFileSystem() = default;

std::unique_ptr<MemoryFileSystem> MemoryFileSystem::after_power_cut(uint64_t seed) const {
  const std::lock_guard lock(*state_->mutex);
  PowerCut cut(seed);
  auto result = std::make_unique<MemoryFileSystem>();
  Tree& tree = result->state_->tree;
  tree = state_->durable;
  for (const Change& change : state_->changes) {
    if (change.durable || cut.keeps()) carry_out(tree, change);
  }
  std::map<FilePointer, FilePointer> copies{{nullptr, nullptr}};
  for (auto& [path, file] : tree) {
    FilePointer& copy = copies[file];
    if (file && !copy) copy = file->after(cut);
    file = copy;
  }
  result->state_->durable = tree;
  return result;
}

void MemoryFileSystem::lose_unsynced(const std::string& path) {
  const std::lock_guard lock(*state_->mutex);
  const std::string name = normal(path);
  if (const FilePointer& file = state_->find(name, "sync")->second) file->lose_unsynced();
}

std::unique_ptr<ReadableFile> MemoryFileSystem::open(const std::string& path) {
  const std::lock_guard lock(*state_->mutex);
  const FilePointer file = state_->file(normal(path), "open");
  const auto linked = [state = state_, file] {
    return std::any_of(state->tree.begin(), state->tree.end(), [&](const auto& entry) { return entry.second == file; });
  };
  return memory_readable(state_->handle(file, path), linked);
}

std::unique_ptr<WritableFile> MemoryFileSystem::create(const std::string& path) {
  const std::lock_guard lock(*state_->mutex);
  return memory_writable(state_->handle(state_->create(normal(path), "open"), path));
}

std::unique_ptr<WritableFile> MemoryFileSystem::open_append(const std::string& path, uint64_t size) {
  const std::lock_guard lock(*state_->mutex);
  const FilePointer file = state_->file(normal(path), "open");
  const uint64_t found = file->content.size();
  if (found < size) throw CorruptionError(path, found, std::to_string(size) + " bytes", "the end of the file");
  file->truncate(size);
  return memory_writable(state_->handle(file, path));
}

std::unique_ptr<Mapping> MemoryFileSystem::map(const std::string& path) {
  std::unique_lock lock(*state_->mutex);
  MemoryHandle handle = state_->handle(state_->file(normal(path), "open"), path);
  lock.unlock();
  return memory_mapping(std::move(handle));
}

std::unique_ptr<FileLock> MemoryFileSystem::try_lock(const std::string& path) {
  const std::lock_guard lock(*state_->mutex);
  const FilePointer file =
      state_->tree.contains(normal(path)) ? state_->file(normal(path), "open") : state_->create(normal(path), "open");
  if ((file->exclusive_lock || file->shared_locks > 0) && !is_off("writer's lock")) return nullptr;
  file->exclusive_lock = true;
  return memory_lock(state_->handle(file, path));
}

bool MemoryFileSystem::is_locked(const std::string& path) {
  const std::lock_guard lock(*state_->mutex);
  return state_->tree.contains(normal(path)) && state_->file(normal(path), "open")->exclusive_lock;
}

bool MemoryFileSystem::exists(const std::string& path) {
  const std::lock_guard lock(*state_->mutex);
  return state_->tree.contains(normal(path));
}

void MemoryFileSystem::make_directory(const std::string& path) {
  const std::lock_guard lock(*state_->mutex);
  const std::string name = normal(path);
  state_->require_directory(parent(name), path, "make directory");
  const auto found = state_->tree.find(name);
  if (found == state_->tree.end()) {
    state_->change({.gone = "", .there = name, .file = nullptr});
  } else if (found->second) {
    throw StorageError(EEXIST, path, "make directory");
  }
}

std::vector<std::string> MemoryFileSystem::list(const std::string& directory) {
  const std::lock_guard lock(*state_->mutex);
  state_->require_directory(normal(directory), directory, "list");
  return children(state_->tree, normal(directory));
}

void MemoryFileSystem::rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(*state_->mutex);
  const FilePointer file = state_->file(normal(from), "rename");
  const std::string name = normal(to);
  state_->require_directory(parent(name), from, "rename");
  if (const auto old = state_->tree.find(name); old != state_->tree.end()) {
    if (!old->second) throw StorageError(EISDIR, from, "rename");
    if (old->second == file) return;
  }
  state_->change({.gone = normal(from), .there = name, .file = file});
}

void MemoryFileSystem::remove(const std::string& path) {
  const std::lock_guard lock(*state_->mutex);
  state_->file(normal(path), "remove");
  state_->change({.gone = normal(path), .there = "", .file = nullptr});
}

bool MemoryFileSystem::try_lock_and_remove(const std::string& path) {
  const std::lock_guard lock(*state_->mutex);
  const FilePointer file = state_->file(normal(path), "open");
  if ((file->exclusive_lock || file->shared_locks > 0) && !is_off("look at the pins")) return false;
  state_->change({.gone = normal(path), .there = "", .file = nullptr});
  return true;
}

void MemoryFileSystem::remove_directory(const std::string& path) {
  const std::lock_guard lock(*state_->mutex);
  const std::string name = normal(path);
  state_->find(name, "remove directory");
  state_->require_directory(name, path, "remove directory");
  if (!children(state_->tree, name).empty()) throw StorageError(ENOTEMPTY, path, "remove directory");
  state_->change({.gone = name, .there = "", .file = nullptr});
}

void MemoryFileSystem::sync_directory(const std::string& path) {
  const std::lock_guard lock(*state_->mutex);
  const std::string name = normal(path);
  state_->require_directory(name, path, "open");
  if (is_off("sync of " + name)) return;
  for (Change& change : state_->changes) change.durable |= change.is_in(name);
  const auto first = std::find_if(state_->changes.begin(), state_->changes.end(),
                                  [](const Change& change) { return !change.durable; });
  for (auto change = state_->changes.begin(); change != first; ++change) carry_out(state_->durable, *change);
  state_->changes.erase(state_->changes.begin(), first);
}

uint64_t MemoryFileSystem::free_bytes(const std::string& path) {
  const std::lock_guard lock(*state_->mutex);
  state_->find(normal(path), "statvfs");
  return uint64_t{1} << 40;
}

}  // namespace lamina

#endif
