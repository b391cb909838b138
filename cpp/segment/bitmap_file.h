// A bitmap as a document: the dead rows of one segment.
#pragma once

#include <string>
#include <vector>

#include "base/bitmap.h"
#include "segment/document.h"

namespace lamina {

std::vector<std::byte> encode_bitmap(const Bitmap& bitmap, const SegmentId& segment);
// CorruptionError also if it is of another segment or another number of rows.
Bitmap decode_bitmap(const Document& document, const std::string& file, const SegmentId& segment, uint64_t rows);

// The payload alone, as an index file holds it.
void write_bitmap(ByteWriter& out, const Bitmap& bitmap, const SegmentId& segment);
Bitmap read_bitmap(ByteReader& in, const SegmentId& segment, uint64_t rows);

}  // namespace lamina
