// Where the files of a store are, and what they are called. FORMAT.md draws the directory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lamina {

inline constexpr std::string_view kRootFile = "root";
inline constexpr std::string_view kLogFile = "log";
inline constexpr std::string_view kVectorFile = "vec";
inline constexpr std::string_view kRecordFile = "rec";
inline constexpr std::string_view kBitmapFile = "del";
inline constexpr std::string_view kManifestFile = "man";
inline constexpr std::string_view kReserveFile = "RESERVE";

// 7, "vec" <-> "0000000000000007.vec".
std::string numbered_name(uint64_t number, std::string_view extension);
std::optional<uint64_t> number_in_name(std::string_view name, std::string_view extension);  // none: no such name
std::optional<uint64_t> number_of_file(std::string_view name);  // of one that belongs in files/

struct StorePaths {
  explicit StorePaths(std::string directory);

  std::string root_file(uint64_t seq) const;
  std::string log_file(uint64_t number) const;
  std::string file(uint64_t number, std::string_view extension) const;

  const std::string store;
  const std::string lock;
  const std::string reserve;
  const std::string verified;
  const std::string roots;
  const std::string logs;
  const std::string files;
  const std::string scratch;
};

}  // namespace lamina
