// The sections of a vector segment, for its writer and its reader.
#pragma once

#include "segment/segment_file.h"

namespace lamina {

inline constexpr SectionName kParameters = section_name("PARM");
inline constexpr SectionName kCalibration = section_name("CALB");
inline constexpr SectionName kRids = section_name("RIDS");
inline constexpr SectionName kIds = section_name("IDS_");
inline constexpr SectionName kProvenance = section_name("PROV");
inline constexpr SectionName kRidOrder = section_name("RORD");
inline constexpr SectionName kNorms = section_name("NORM");
inline constexpr SectionName kCodes = section_name("CODE");
inline constexpr SectionName kCoarseCodes = section_name("COD4");
inline constexpr SectionName kNeighbourCodes = section_name("NCOD");
inline constexpr SectionName kLevel0 = section_name("GRF0");
inline constexpr SectionName kUpperRows = section_name("UROW");
inline constexpr SectionName kUpper = section_name("GRFU");
inline constexpr SectionName kVectors = section_name("VECT");

inline constexpr uint32_t kMaxLevels = 64;
inline constexpr uint32_t kMaxDegree = 65536;

}  // namespace lamina
