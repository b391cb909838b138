#include "store/verify_note.h"

#include "base/error.h"
#include "store/root_store.h"

namespace lamina {
namespace {

constexpr size_t kEntryBytes = 8 + 32;

}  // namespace

void VerifyNote::load() {
  sound_.clear();
  try {
    const std::string& path = paths_.verified;
    if (!fs_.exists(path)) return;
    const std::vector<std::byte> bytes = read_whole(*fs_.open(path));
    const Document document = open_document(bytes, path, DocumentKind::kVerified);
    ByteReader in(document.payload, path, document.offset);
    if (read_array<16, std::byte>(in) != store_) return;
    std::set<Key> sound;
    for (uint32_t count = read_count(in, kEntryBytes); count > 0; --count) {
      const uint64_t number = in.u64();
      sound.emplace(number, read_array<32, std::byte>(in));
    }
    in.expect_end();
    sound_ = std::move(sound);
  } catch (const Error&) {  // only ever means more work
  }
}

void VerifyNote::save() const {
  ByteWriter out;
  write_array(out, store_);
  out.u32(static_cast<uint32_t>(sound_.size()));
  for (const auto& [number, digest] : sound_) {
    out.u64(number);
    write_array(out, digest);
  }
  try {
    publish(fs_, paths_.scratch, paths_.store, "VERIFIED", seal_document(DocumentKind::kVerified, out.view()));
  } catch (const StorageError&) {
  }
}

void VerifyNote::remove() const {
  try {
    if (fs_.exists(paths_.verified)) fs_.remove(paths_.verified);
  } catch (const StorageError&) {
  }
}

}  // namespace lamina
