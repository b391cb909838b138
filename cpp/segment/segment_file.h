// The container of all segments: header, sections with block checksums, footer. Knows nothing of what sections mean.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "codes/metric.h"
#include "io/file.h"
#include "segment/document.h"
#include "segment/format.h"
#include "segment/hasher.h"
#include "segment/record.h"

namespace lamina {

enum class SegmentKind : uint8_t { kVectors = 1, kRecords = 2 };
enum class Flavour : uint8_t { kRecords = 0, kFlat = 1, kHnsw = 2 };

struct SegmentHeader {
  SegmentKind kind = SegmentKind::kVectors;
  Flavour flavour = Flavour::kFlat;
  uint8_t id_kind = 0;  // IdKind, or 0: no ids are stored
  SegmentId id{};
  uint64_t rows = 0;
  Fingerprint fingerprint{};
  VectorSpec spec;  // vectors only
  uint64_t code_stride = 0;
};

using SectionName = uint32_t;
constexpr SectionName section_name(const char (&text)[5]) {
  SectionName name = 0;
  for (int i = 3; i >= 0; --i) name = name << 8 | static_cast<uint8_t>(text[i]);
  return name;
}

inline constexpr SectionName kChecks = section_name("BSUM");  // the block checksums of all the others
inline constexpr size_t kFooterTableOffset = 128;
inline constexpr size_t kFooterCrcOffset = 4084;

enum class SectionRole : uint32_t { kPrimary = 1, kDerived = 2 };

struct Section {
  SectionName name = 0;
  SectionRole role = SectionRole::kPrimary;
  uint64_t offset = 0;  // from the start of the segment
  uint64_t length = 0;
  uint64_t count = 0;
  uint32_t element_bytes = 0;
  uint32_t block_bytes = 0;
  uint64_t checks = 0;  // where in BSUM its CRCs begin

  uint64_t padded() const { return round_up(length, kPageBytes); }
  uint64_t blocks() const { return (padded() + block_bytes - 1) / block_bytes; }
};

// What a block's CRC begins with: it binds the block to its place.
uint32_t block_seed(const SegmentId& id, SectionName name, uint64_t block);
std::string text_of(SectionName name);

// Writes one segment, front to back, to the end of `out`; hashes and checks on the fly, in 1 MiB of memory.
// The caller commits `out` afterwards.
class SegmentWriter {
 public:
  SegmentWriter(Publication& out, const SegmentHeader& header, const Hasher& hasher);

  // Sections one after another: begin, any number of append, and the next begin (or finish) ends it.
  void begin(SectionName name, SectionRole role, uint32_t element_bytes, uint64_t count,
             uint64_t block_bytes = kBlockBytes);
  void append(Bytes bytes);
  FileRef finish();  // number 0

 private:
  void end_section();
  void put(Bytes bytes);
  void flush_piece();
  void pad_to(uint64_t position);
  void take_into_block(Bytes bytes);
  Section write_checks();

  Publication& out_;
  const Hasher& hasher_;
  const SegmentHeader header_;
  uint64_t position_ = 0;          // from the start of the segment
  std::vector<std::byte> piece_;   // not yet written, less than kHashPieceBytes
  std::vector<std::byte> pieces_;  // digests of the pieces so far
  std::vector<Section> sections_;
  std::vector<uint32_t> checks_;  // block CRCs so far
  uint32_t checks_crc_ = 0;
  bool open_ = false;  // a section is
  uint64_t block_filled_ = 0;
  uint64_t block_number_ = 0;
  uint32_t block_crc_ = 0;
};

// That a file is as long as `ref` says: for segments that are files of their own.
void expect_whole_file(const Mapping& mapping, const FileRef& ref);

// Called with the number of bytes checked since the last call. May throw to stop.
using VerifyProgress = std::function<void(uint64_t bytes)>;

class MemoryBudget;  // segment/memory_budget.h

// What a segment is opened with under a budget; else it has neither. What need not be in memory is read from `file`.
struct Budgeted {
  std::shared_ptr<MemoryBudget> budget;
  std::shared_ptr<ReadableFile> file;
};

// A segment in a mapping. Immutable; any thread.
class SegmentFile {
 public:
  // The segment at `base` that `ref` means. Checks structure and digest, touching header and footer alone.
  // CorruptionError, FormatVersionError.
  SegmentFile(std::shared_ptr<const Mapping> mapping, uint64_t base, const FileRef& ref, const Hasher& hasher,
              Budgeted budgeted = {});
  SegmentFile(const SegmentFile&) = delete;
  SegmentFile& operator=(const SegmentFile&) = delete;

  const SegmentHeader& header() const { return header_; }
  const std::string& path() const { return mapping_->path(); }
  uint64_t size() const { return ref_.size; }
  void require_whole() const { mapping_->require_whole(); }  // to be called before what was read is believed

  std::span<const Section> sections() const { return sections_; }
  const Section* find(SectionName name) const;
  // The section of that name with exactly these elements; CorruptionError otherwise.
  const Section& require(SectionName name, uint32_t element_bytes, uint64_t count) const;
  Bytes bytes(const Section& section) const { return segment_.subspan(section.offset, section.length); }  // unchecked
  ByteReader reader(const Section& section) const { return {bytes(section), path(), base_ + section.offset}; }
  template <class T>
  const T* data(const Section& section) const {  // unchecked; aligned
    return reinterpret_cast<const T*>(segment_.data() + section.offset);
  }

  MemoryBudget* budget() const { return budgeted_.budget.get(); }  // null: none
  // Bytes at an offset in the segment, unchecked, with none of it in place; CorruptionError if they cannot be read.
  // REQUIRES: there is a budget.
  void read(uint64_t offset, std::span<std::byte> out) const;
  void let_go(uint64_t offset, uint64_t length) const { mapping_->let_go(base_ + offset, length); }
  void map_singly(uint64_t offset, uint64_t length, bool singly) const {
    mapping_->map_singly(base_ + offset, length, singly);
  }

  // Checks one block and the padding in it; CorruptionError. Returns its bytes, less the padding: under a budget those
  // that were read, which the thread's next call replaces.
  Bytes check_block(const Section& section, uint64_t block) const;
  // All blocks, on several threads if it pays; `extra`, if any, looks at each after its checksum.
  using BlockFn = std::function<void(uint64_t offset, Bytes block)>;
  void check_all(const Section& section, const BlockFn& extra = {}) const;
  // Every byte of the segment, by CRC and by content root.
  void verify(const Hasher& hasher, const VerifyProgress& progress) const;

  [[noreturn]] void corrupt(uint64_t offset, std::string expected, std::string found) const;  // offset in the segment
  [[noreturn]] void corrupt(const Section& section, uint64_t element, std::string expected, std::string found) const;

 private:
  Bytes in_place_or_read(uint64_t offset, uint64_t size, std::vector<std::byte>& buffer) const;
  Bytes footer() const { return segment_.last(kPageBytes); }
  void read_header();
  void read_footer(const Hasher& hasher);
  void read_sections(ByteReader& in, uint32_t count);
  void expect_chain(const Section& section, uint64_t offset, uint64_t checks) const;
  void check_checks() const;  // BSUM itself, until it was found right

  const std::shared_ptr<const Mapping> mapping_;
  const uint64_t base_;
  const FileRef ref_;
  const Budgeted budgeted_;
  Bytes segment_;
  SegmentHeader header_;
  std::vector<Section> sections_;  // BSUM last
  uint32_t checks_crc_ = 0;
  Digest content_root_{};
  mutable std::atomic<bool> checks_good_ = false;
};

// Remembers which blocks of a section were found good. Any thread; what was found bad is looked at again each time.
class CheckedSection {
 public:
  using BlockCheck = void (*)(const SegmentFile& file, const Section& section, uint64_t offset, Bytes block);

  // `extra`, if not null, looks at each block's content after its checksum. The file must outlive this.
  CheckedSection(const SegmentFile& file, const Section& section, BlockCheck extra = nullptr);

  // REQUIRES: offset + length <= section.length. CorruptionError.
  void check(uint64_t offset, uint64_t length) const {
    if (length == 0) return;
    const uint64_t last = (offset + length - 1) >> shift_;
    for (uint64_t block = offset >> shift_; block <= last; ++block) {
      if ((good_[block / 64].load(std::memory_order_acquire) >> (block % 64) & 1) == 0) check_block(block);
    }
  }
  void check_all() const { check(0, section_->length); }
  const Section& section() const { return *section_; }

 private:
  void check_block(uint64_t block) const;

  const SegmentFile* file_;
  const Section* section_;
  BlockCheck extra_;
  unsigned shift_;
  mutable std::vector<std::atomic<uint64_t>> good_;
};

// Fixed-width numbers of a section, each checked before it is first read.
template <class T>
class CheckedColumn {
 public:
  CheckedColumn(const SegmentFile& file, SectionName name, uint64_t count)
      : checked_(file, file.require(name, sizeof(T), count)), data_(file.data<T>(checked_.section())) {}

  const T& operator[](uint64_t i) const {  // REQUIRES: i < count
    checked_.check(i * sizeof(T), sizeof(T));
    return data_[i];
  }
  std::span<const T> all() const {
    checked_.check_all();
    return {data_, checked_.section().count};
  }
  const Section& section() const { return checked_.section(); }

 private:
  CheckedSection checked_;
  const T* data_;
};

}  // namespace lamina
