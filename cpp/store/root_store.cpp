#include "store/root_store.h"

#include <algorithm>

#include "base/error.h"

namespace lamina {

std::vector<std::byte> read_whole(ReadableFile& file) {
  std::vector<std::byte> bytes(file.size());
  bytes.resize(file.read_at(0, bytes));
  return bytes;
}

std::vector<uint64_t> RootStore::list() const {
  std::vector<uint64_t> found;
  for (const std::string& name : fs_.list(paths_.roots)) {
    if (const auto seq = number_in_name(name, kRootFile)) found.push_back(*seq);
  }
  return found;  // names are sorted, and as wide as each other
}

std::optional<StoredRoot> RootStore::read(uint64_t seq) const {
  const std::string path = paths_.root_file(seq);
  StoredRoot stored;
  try {
    stored.pin = fs_.open(path);
  } catch (const StorageError&) {
    if (!fs_.exists(path)) return {};
    throw;
  }
  if (!stored.pin->lock_shared() || !stored.pin->is_linked()) return {};
  const std::vector<std::byte> bytes = read_whole(*stored.pin);
  const Document document = open_document(bytes, path, DocumentKind::kRoot);
  stored.root = decode_root(document, path);
  stored.writable = document.writable;
  if (stored.root.seq != seq) {
    throw CorruptionError(path, 0, "root " + std::to_string(seq), "root " + std::to_string(stored.root.seq));
  }
  stored.digest = hasher_.digest(bytes);
  return stored;
}

std::optional<StoredRoot> RootStore::newest() const {
  for (;;) {  // each round is one in which a writer has published
    const std::vector<uint64_t> found = list();
    if (found.empty()) return {};
    if (auto stored = read(found.back())) return stored;
  }
}

Digest RootStore::publish(const Root& root, bool* published) const {
  const std::vector<std::byte> bytes = encode_root(root);
  *published = false;
  try {
    lamina::publish(fs_, paths_.scratch, paths_.roots, numbered_name(root.seq, kRootFile), bytes);
  } catch (...) {
    *published = true;  // unless it is seen not to be
    *published = fs_.exists(paths_.root_file(root.seq));
    throw;
  }
  *published = true;
  return hasher_.digest(bytes);
}

}  // namespace lamina
