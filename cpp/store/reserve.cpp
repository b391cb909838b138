#include "store/reserve.h"

#include "base/error.h"
#include "base/random.h"

namespace lamina {
namespace {

constexpr size_t kReserve = size_t{1} << 20;  // the log of 100,000 deletes, and what a root needs besides
constexpr uint64_t kPlenty = 8 * kReserve;

// What no file system packs: zeros might take no space.
std::vector<std::byte> filler() {
  std::vector<std::byte> bytes(kReserve);
  Random random(1);
  for (size_t i = 0; i < bytes.size(); i += 8) store_le(bytes.data() + i, random.next_u64());
  return bytes;
}

}  // namespace

void Reserve::make() {
  if (there_) return;
  try {
    there_ = fs_.exists(paths_.reserve);
    if (there_ || fs_.free_bytes(paths_.store) < kPlenty) return;
    publish(fs_, paths_.scratch, paths_.store, std::string(kReserveFile), filler());
    there_ = true;
  } catch (const Error&) {  // another time
  }
}

bool Reserve::give_up() {
  if (!fs_.exists(paths_.reserve)) return false;
  fs_.remove(paths_.reserve);
  there_ = false;
  return true;
}

}  // namespace lamina
