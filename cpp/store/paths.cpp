#include "store/paths.h"

#include <charconv>

#include "io/file.h"

namespace lamina {
namespace {

constexpr size_t kDigits = 16;

}  // namespace

std::string numbered_name(uint64_t number, std::string_view extension) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string name(kDigits, '0');
  for (size_t i = kDigits; i-- > 0; number >>= 4) name[i] = kHex[number & 15];
  return name.append(".").append(extension);
}

std::optional<uint64_t> number_in_name(std::string_view name, std::string_view extension) {
  if (name.size() != kDigits + 1 + extension.size()) return {};
  uint64_t number = 0;
  const auto parsed = std::from_chars(name.data(), name.data() + kDigits, number, 16);
  if (parsed.ec != std::errc{} || numbered_name(number, extension) != name) return {};
  return number;
}

std::optional<uint64_t> number_of_file(std::string_view name) {
  for (const std::string_view extension : {kVectorFile, kRecordFile, kBitmapFile, kManifestFile}) {
    if (const auto number = number_in_name(name, extension)) return number;
  }
  return {};
}

StorePaths::StorePaths(std::string directory)
    : store(std::move(directory)),
      lock(join(store, "LOCK")),
      reserve(join(store, std::string(kReserveFile))),
      verified(join(store, "VERIFIED")),
      roots(join(store, "roots")),
      logs(join(store, "log")),
      files(join(store, "files")),
      scratch(join(store, "scratch")) {}

std::string StorePaths::root_file(uint64_t seq) const { return join(roots, numbered_name(seq, kRootFile)); }
std::string StorePaths::log_file(uint64_t number) const { return join(logs, numbered_name(number, kLogFile)); }
std::string StorePaths::file(uint64_t number, std::string_view extension) const {
  return join(files, numbered_name(number, extension));
}

}  // namespace lamina
