// The bytes of a log: header, frames, operations; and of the note in LOCK. Where a log ends, and whether its tail is
// torn or damaged, is for the store to judge by the rule in FORMAT.md; this says what is whole.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "codes/metric.h"
#include "index/part.h"
#include "segment/record.h"
#include "segment/root.h"

namespace lamina {

inline constexpr size_t kLogHeaderBytes = 64;
inline constexpr size_t kFrameHeaderBytes = 48;
inline constexpr size_t kFrameAlignment = 8;

struct LogHeader {
  StoreId store{};
  uint64_t number = 0;
  uint32_t timeline = 0;
};

struct EncodedLogHeader {
  std::array<std::byte, kLogHeaderBytes> bytes;
  uint32_t crc;  // the witness of a log without frames
};
EncodedLogHeader encode_log_header(const LogHeader& header);
// The log's first bytes. CorruptionError (too short, too), FormatVersionError, or another store or number than
// expected.
LogHeader decode_log_header(Bytes log, const std::string& file, const StoreId& store, uint64_t number);

// One version. `payload` is a view into the log.
struct LogFrame {
  uint64_t offset = 0;  // in the log, a multiple of 8
  uint64_t end = 0;     // where the next begins
  uint64_t version = 0;
  int64_t time_us = 0;
  uint64_t durable = 0;  // all before this position was on the disk when the frame was written
  uint32_t timeline = 0;
  uint32_t header_crc = 0;  // covers the payload too, through the payload's CRC
  Bytes payload;
};

// The frame's bytes, to be appended at `frame.offset`; `frame.payload` from encode_operations. Fills in `end` and
// `header_crc`.
std::vector<std::byte> encode_frame(const LogHeader& log, LogFrame& frame);

// The whole frame at `offset` of `log`, all bytes of the log (from its header on); none if what is there does not
// check. Never throws for what is in the bytes.
std::optional<LogFrame> parse_frame(Bytes log, const LogHeader& header, uint64_t offset);
// The first whole frame at or after `offset`: what tells damage from a torn tail.
std::optional<LogFrame> find_frame(Bytes log, const LogHeader& header, uint64_t offset);

// Rows of vectors that one model made.
struct GivenVectors {
  Fingerprint fingerprint{};
  uint32_t dim = 0;
  DType dtype = DType::kF32;
  std::span<const Provenance> provenance;
  Bytes vectors;  // provenance.size() rows
};

// Rows of one write. Views: to encode, into the caller's memory; decoded, `ids`, `fields` and scopes into vectors that
// the DecodedOperations owns, `columns` and `vectors` into the payload (8-byte aligned if the log is), as `settings`.
struct PutOperation : GivenVectors {  // of the rows that are kGiven, in order
  uint64_t collection = 0;
  Ids ids;
  std::span<const RecordFields> fields;  // one a row; `version` is the frame's
  std::span<const VectorFate> fates;     // one a row
  Bytes columns;                         // one sealed block of ids.size() rows
};

struct DeleteOperation {
  uint64_t collection = 0;
  std::span<const uint64_t> rids;
};

// From here on these are the collection's own.
struct SettingsOperation {
  uint64_t collection = 0;
  std::string_view settings;
};

// Vectors of records that are there, for the generation of their model. A view, as PutOperation.
struct VectorsOperation : GivenVectors {
  uint64_t collection = 0;
  std::span<const uint64_t> rids;  // one a row
};

using Operation = std::variant<PutOperation, DeleteOperation, SettingsOperation, VectorsOperation>;

std::vector<std::byte> encode_operations(std::span<const Operation> operations);

// Operations and the memory that they view. Movable; the frame's payload must outlive it.
class DecodedOperations {
 public:
  // CorruptionError (the frame is whole, what it says does not hold: counts, lengths, a rid twice),
  // FormatVersionError (an operation of a later build). `file` is the log. Of this collection alone, if one is given.
  DecodedOperations(const LogFrame& frame, const std::string& file, std::optional<uint64_t> collection = {});
  std::span<const Operation> operations() const { return operations_; }

 private:
  struct Storage;
  friend struct OperationDecoder;
  std::vector<std::shared_ptr<Storage>> storage_;  // one an operation
  std::vector<Operation> operations_;
};

// The collections that a frame's operations name, each once. Throws as DecodedOperations does, but does not look into
// the operations.
std::vector<uint64_t> collections_of(const LogFrame& frame, const std::string& file);

// What the writer shows to readers in LOCK: how far the log may be read.
struct LockNote {
  StoreId store{};
  int64_t pid = 0;
  uint64_t log_number = 0;
  uint64_t durable = 0;  // position in that log
  uint64_t durable_version = 0;
  std::string host;  // cut to 68 bytes
};
std::vector<std::byte> encode_lock_note(const LockNote& note);
std::optional<LockNote> decode_lock_note(Bytes bytes);  // none: empty, torn, or none of ours

}  // namespace lamina
