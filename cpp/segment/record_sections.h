// The sections of a record segment, for its writer and its reader.
#pragma once

#include "segment/segment_file.h"

namespace lamina {

inline constexpr SectionName kRecordRids = section_name("RIDS");
inline constexpr SectionName kIntIds = section_name("IDS_");
inline constexpr SectionName kIdOffsets = section_name("IDSO");
inline constexpr SectionName kIdBytes = section_name("IDSB");
inline constexpr SectionName kIdOrder = section_name("IORD");
inline constexpr SectionName kHashes = section_name("HASH");
inline constexpr SectionName kTimes = section_name("TIME");
inline constexpr SectionName kVersions = section_name("VERS");
inline constexpr SectionName kScopes = section_name("SCOP");
inline constexpr SectionName kScopeNames = section_name("SCPN");
inline constexpr SectionName kBlocks = section_name("CIDX");
inline constexpr SectionName kColumns = section_name("COLS");

inline constexpr uint64_t kColumnAlignment = 64;  // of a block of columns: what Arrow likes

struct RecordTimes {
  int64_t created_us;
  int64_t updated_us;
};
static_assert(sizeof(RecordTimes) == 16);

struct BlockEntry {
  uint64_t first_row;
  uint64_t rows;
  uint64_t offset;  // in COLS
  uint64_t length;
};
static_assert(sizeof(BlockEntry) == 32);

}  // namespace lamina
