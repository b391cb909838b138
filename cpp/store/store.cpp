#include "store/store.h"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "base/error.h"
#include "io/file.h"
#include "store/reader.h"
#include "store/writer.h"

namespace lamina {
namespace {

enum class Found { kNothing, kBegun, kStore, kForeign };

// What is at the place of a store. kBegun: an empty directory, or a store whose making was cut short before its first
// root; kForeign: other files.
Found look(FileSystem& fs, const StorePaths& paths) {
  if (!fs.exists(paths.store)) return Found::kNothing;
  constexpr std::array<std::string_view, 7> kOurs = {"LOCK", kReserveFile, "VERIFIED", "files",
                                                     "log",  "roots",      "scratch"};
  const std::vector<std::string> names = fs.list(paths.store);
  if (std::find(names.begin(), names.end(), "roots") != names.end()) {
    const std::vector<std::string> roots = fs.list(paths.roots);
    const bool any = std::any_of(roots.begin(), roots.end(),
                                 [](const std::string& name) { return number_in_name(name, kRootFile).has_value(); });
    if (any) return Found::kStore;
  }
  const bool ours = std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    return std::find(kOurs.begin(), kOurs.end(), name) != kOurs.end();
  });
  if (!ours) return Found::kForeign;
  if (fs.exists(paths.files) && !fs.list(paths.files).empty()) {
    throw CorruptionError(paths.roots, 0, "a root", "none, though there are files that one must have named");
  }
  return Found::kBegun;
}

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string without_trailing_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

void make_directories(FileSystem& fs, const StorePaths& paths) {
  fs.make_directory(paths.store);
  for (const std::string& directory : {paths.roots, paths.logs, paths.files, paths.scratch}) {
    fs.make_directory(directory);
  }
  fs.sync_directory(paths.store);
  fs.sync_directory(parent_of(paths.store));
}

std::unique_ptr<FileLock> take_lock(FileSystem& fs, const StorePaths& paths) {
  if (auto lock = fs.try_lock(paths.lock)) return lock;
  const auto note = decode_lock_note(read_whole(*fs.open(paths.lock)));
  throw LockedError(paths.lock, note ? note->pid : 0, note ? note->host : "");
}

}  // namespace

std::shared_ptr<Store> Store::open(FileSystem& fs, const std::string& path, const StoreOptions& options,
                                   const Hasher& hasher, const RecordCodec& codec) {
  const StorePaths paths(without_trailing_slash(path));
  const Found found = look(fs, paths);
  if (found != Found::kStore) {
    const bool making = options.create && !options.read_only;
    if (found == Found::kForeign && making) {
      throw std::invalid_argument(path + " holds other files and no store; name a new or an empty directory");
    }
    if (!making) {
      const bool is_directory = found != Found::kNothing;
      throw NotFoundError("there is no store at " + path + (is_directory ? ", only a directory" : ""));
    }
    make_directories(fs, paths);
  }
  if (options.read_only) return std::make_shared<Reader>(fs, paths, options, hasher, codec);
  return std::make_shared<Writer>(fs, paths, options, hasher, codec, take_lock(fs, paths));
}

}  // namespace lamina
