// Goal: FORMAT.md's worked examples are what this build writes, byte for byte. Method: each example is written, drawn
// as hexadecimal rows (those of zeros left out), and compared with the block of that name in the page. After a change
// of draft, a failure prints the block that belongs there.
#include "segment/format.h"

#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <map>
#include <sstream>

#include "io/memory_fs.h"
#include "segment/sample.h"
#include "segment/segment_file.h"

namespace lamina {
namespace {

using sample::Buffer;
using Notes = std::map<uint64_t, std::string>;  // what begins in the row at an offset

std::string page() {
  std::ifstream in("cpp/segment/FORMAT.md");
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string block_of(const std::string& name) {
  const std::string text = page();
  const std::string opening = "```example-" + name + "\n";
  const size_t begin = text.find(opening);
  if (begin == std::string::npos) return "";
  const size_t first = begin + opening.size();
  return text.substr(first, text.find("```", first) - first);
}

std::string drawn(Bytes bytes, const Notes& notes) {
  std::ostringstream out;
  for (size_t at = 0; at < bytes.size(); at += 16) {
    const Bytes row = bytes.subspan(at, std::min<size_t>(16, bytes.size() - at));
    const bool zeros = std::ranges::all_of(row, [](std::byte b) { return b == std::byte{0}; });
    if (zeros && at + 16 < bytes.size()) continue;
    const std::array<std::byte, 3> offset = {std::byte(at >> 16), std::byte(at >> 8), std::byte(at)};
    out << hex(offset) << ' ';
    for (const std::byte b : row) out << ' ' << hex(Bytes(&b, 1));
    if (const auto note = notes.find(at); note != notes.end()) {
      out << std::string(3 * (16 - row.size()) + 2, ' ') << note->second;
    }
    out << '\n';
  }
  return out.str();
}

void expect_example(const std::string& name, Bytes bytes, const Notes& notes) {
  const std::string expected = drawn(bytes, notes);
  EXPECT_EQ(block_of(name), expected) << "```example-" << name << "\n" << expected << "```";
}

Notes notes_of(const sample::File& file) {
  const SegmentFile segment(std::make_shared<TestMapping>(file.bytes), 0, file.ref, kToyHasher);
  Notes notes = {{0, "header"}, {file.bytes.size() - kPageBytes, "footer"}};
  for (const Section& section : segment.sections()) {
    if (section.length > 0) notes[section.offset] = text_of(section.name);
  }
  return notes;
}

TEST(Format, TheVectorSegmentInThePage) {
  MemoryFileSystem fs;
  const sample::File file = sample::vector_segment(fs, "/", *sample::part(4));
  expect_example("vectors", file.bytes, notes_of(file));
}

TEST(Format, TheRecordSegmentInThePage) {
  MemoryFileSystem fs;
  const sample::File file = sample::record_segment(fs, "/", *sample::records(4, IdKind::kString));
  expect_example("records", file.bytes, notes_of(file));
}

TEST(Format, TheDocumentsInThePage) {
  expect_example("bitmap", encode_bitmap(sample::bitmap(), sample::kVectorId),
                 {{0, "head"}, {48, "rows, count, chunks"}});
  expect_example("manifest", encode_manifest(sample::manifest()), {{0, "head"}});
  expect_example("root", encode_root(sample::root()), {{0, "head"}});
}

TEST(Format, TheBundleInThePage) {
  MemoryFileSystem fs;
  expect_example("index", sample::index_file(fs, "/", 0), {{0, "index document"}, {4096, "trailer"}});
}

TEST(Format, TheLogInThePage) {
  expect_example("log", sample::log(1), {{0, "header"}, {64, "frame"}, {112, "payload"}});
}

TEST(Format, TheLockNoteInThePage) {
  expect_example("lock", encode_lock_note({sample::kStoreId, 4711, 20, 4096, 43, "a-host"}), {});
}

}  // namespace
}  // namespace lamina
