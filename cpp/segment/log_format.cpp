#include "segment/log_format.h"

#include <algorithm>

#include "base/error.h"
#include "base/mutant.h"
#include "io/crc32c.h"
#include "segment/format.h"

namespace lamina {
namespace {

constexpr uint32_t kFrameMagic = 0x4d52464c;         // "LFRM"
constexpr uint64_t kNoteMagic = 0x0a4b434f4c4d414c;  // "LAMLOCK\n"
constexpr size_t kNoteBytes = 128;
constexpr size_t kHostBytes = 68;

// What binds a frame to its place.
uint32_t place_crc(const LogHeader& log, uint64_t offset) {
  std::array<std::byte, 32> place;
  std::ranges::copy(log.store, place.begin());
  store_le(place.data() + 16, log.number);
  store_le(place.data() + 24, offset);
  return crc32c(0, place);
}

uint64_t padded(uint64_t n) { return round_up(n, kFrameAlignment); }

}  // namespace

EncodedLogHeader encode_log_header(const LogHeader& header) {
  ByteWriter out;
  write_prefix(out, kLogMagic);
  write_array(out, header.store);
  out.u64(header.number);
  out.u32(header.timeline);
  out.u64(0);
  EncodedLogHeader encoded;
  encoded.crc = crc32c(0, out.view());
  out.u32(encoded.crc);
  std::ranges::copy(out.view(), encoded.bytes.begin());
  return encoded;
}

LogHeader decode_log_header(Bytes log, const std::string& file, const StoreId& store, uint64_t number) {
  ByteReader in(log, file);
  check_magic(in, kLogMagic, "a log");
  if (log.size() < kLogHeaderBytes) in.corrupt("a log's header", "its first bytes (file truncated?)");
  const uint32_t computed = crc32c(0, log.first(kLogHeaderBytes - 4));
  const auto stored = load_le<uint32_t>(log.data() + kLogHeaderBytes - 4);
  if (stored != computed && !is_off("log header checksum"))
    throw CorruptionError(file, 0, "checksum " + hex(stored), hex(computed));
  check_version(in);
  LogHeader header;
  header.store = read_array<16, std::byte>(in);
  if (header.store != store) in.corrupt("a log of store " + hex(store), hex(header.store));
  header.number = in.u64();
  if (header.number != number) in.corrupt("log number " + hex(number), hex(header.number));
  header.timeline = in.u32();
  read_zeros(in, 8);
  return header;
}

std::vector<std::byte> encode_frame(const LogHeader& log, LogFrame& frame) {
  const uint32_t place = place_crc(log, frame.offset);
  ByteWriter out;
  out.u32(kFrameMagic);
  out.u32(0);  // header CRC, below
  out.u64(frame.payload.size());
  out.u64(frame.version);
  out.i64(frame.time_us);
  out.u64(frame.durable);
  out.u32(frame.timeline);
  out.u32(0);  // payload CRC, below
  out.bytes(frame.payload);
  out.align(kFrameAlignment);
  out.patch(44, crc32c(place, out.view().subspan(kFrameHeaderBytes)));
  frame.header_crc = crc32c(place, out.view().subspan(8, kFrameHeaderBytes - 8));
  out.patch(4, frame.header_crc);
  frame.end = frame.offset + out.size();
  return out.take();
}

std::optional<LogFrame> parse_frame(Bytes log, const LogHeader& header, uint64_t offset) {
  if (offset % kFrameAlignment != 0 || offset > log.size() || log.size() - offset < kFrameHeaderBytes) return {};
  const Bytes head = log.subspan(offset, kFrameHeaderBytes);
  if (load_le<uint32_t>(head.data()) != kFrameMagic) return {};
  const uint32_t place = place_crc(header, offset);
  const auto header_crc = load_le<uint32_t>(head.data() + 4);
  if (crc32c(place, head.subspan(8)) != header_crc && !is_off("frame header checksum")) return {};
  const auto length = load_le<uint64_t>(head.data() + 8);
  const uint64_t room = log.size() - offset - kFrameHeaderBytes;
  if (length > room || padded(length) > room) return {};
  const Bytes body = log.subspan(offset + kFrameHeaderBytes, padded(length));
  if (crc32c(place, body) != load_le<uint32_t>(head.data() + 44) && !is_off("frame checksum")) return {};

  LogFrame frame;
  frame.offset = offset;
  frame.end = offset + kFrameHeaderBytes + body.size();
  frame.version = load_le<uint64_t>(head.data() + 16);
  frame.time_us = load_le<int64_t>(head.data() + 24);
  frame.durable = load_le<uint64_t>(head.data() + 32);
  frame.timeline = load_le<uint32_t>(head.data() + 40);
  frame.header_crc = header_crc;
  frame.payload = body.first(length);
  return frame;
}

std::optional<LogFrame> find_frame(Bytes log, const LogHeader& header, uint64_t offset) {
  if (offset > log.size()) return {};
  for (uint64_t at = padded(offset); at < log.size(); at += kFrameAlignment) {
    if (auto frame = parse_frame(log, header, at)) return frame;
  }
  return {};
}

std::vector<std::byte> encode_lock_note(const LockNote& note) {
  ByteWriter out;
  out.u64(kNoteMagic);
  write_array(out, note.store);
  out.i64(note.pid);
  out.u64(note.log_number);
  out.u64(note.durable);
  out.u64(note.durable_version);
  const std::string_view host = std::string_view(note.host).substr(0, kHostBytes);
  out.bytes(as_bytes(host));
  write_zeros(out, kHostBytes - host.size());
  out.u32(crc32c(0, out.view()));
  return out.take();
}

std::optional<LockNote> decode_lock_note(Bytes bytes) {
  if (bytes.size() != kNoteBytes || load_le<uint64_t>(bytes.data()) != kNoteMagic) return {};
  const auto stored = load_le<uint32_t>(bytes.data() + kNoteBytes - 4);
  if (crc32c(0, bytes.first(kNoteBytes - 4)) != stored && !is_off("note checksum")) return {};
  ByteReader in(bytes.subspan(8), "LOCK");
  LockNote note;
  note.store = read_array<16, std::byte>(in);
  note.pid = in.i64();
  note.log_number = in.u64();
  note.durable = in.u64();
  note.durable_version = in.u64();
  const std::string_view host = as_text(in.bytes(kHostBytes));
  note.host = host.substr(0, host.find('\0'));
  return note;
}

}  // namespace lamina
