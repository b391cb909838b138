// Goal: a document is what was sealed, or one of the three sad answers. Method: flips and cuts of a whole document;
// headers of other builds with the checksum made right again.
#include "segment/document.h"

#include <gtest/gtest.h>

#include "segment/damage.h"
#include "segment/repair.h"

namespace lamina {
namespace {

using sample::Buffer;

constexpr DocumentKind kKind = DocumentKind::kManifest;

Buffer sealed() { return seal_document(kKind, as_bytes("a payload")); }

Answer answer_to(Buffer bytes, size_t at, uint8_t value) {
  bytes[at] = std::byte{value};
  repair_document(bytes);
  return answer_of([&] { open_document(bytes, "test", kKind); });
}

TEST(Document, GivesBackWhatWasSealed) {
  for (const std::string payload : {"", "x", "a longer payload"}) {
    const Buffer bytes = seal_document(kKind, as_bytes(payload));
    const Document document = open_document(bytes, "test", kKind);
    EXPECT_EQ(as_text(document.payload), payload);
    EXPECT_EQ(document.offset, 40U);
    EXPECT_TRUE(document.writable);
  }
}

TEST(Document, EveryFlipAndCutIsNoticed) {
  const ReadBytes read = [](const auto& file) { open_document(file->bytes(), "test", kKind); };
  expect_flips_noticed(sealed(), read);
  expect_cuts_noticed(sealed(), read);
}

TEST(Document, OtherBuildsAreTooOldOrTooNew) {
  EXPECT_EQ(answer_to(sealed(), 10, 0), Answer::kTooOld) << "draft 0";
  EXPECT_EQ(answer_to(sealed(), 10, 2), Answer::kTooNew) << "draft 2";
  EXPECT_EQ(answer_to(sealed(), 8, 1), Answer::kTooNew) << "format 1";
  EXPECT_EQ(answer_to(sealed(), 20, 1), Answer::kTooNew) << "an incompatible flag";
  EXPECT_EQ(answer_to(sealed(), 24, 99), Answer::kTooNew) << "an unknown kind";
  EXPECT_EQ(answer_to(sealed(), 24, 1), Answer::kDamaged) << "a kind where another should be";
  EXPECT_EQ(answer_to(sealed(), 28, 1), Answer::kDamaged) << "what must be zero";
  EXPECT_EQ(answer_to(sealed(), 0, 0x09), Answer::kDamaged) << "seven bits of the magic";
  EXPECT_EQ(answer_to(sealed(), 12, 1), Answer::kFine) << "a compatible flag";
}

TEST(Document, AReadOnlyCompatibleFlagForbidsToReplaceIt) {
  Buffer bytes = sealed();
  bytes[16] = std::byte{1};
  repair_document(bytes);
  EXPECT_FALSE(open_document(bytes, "test", kKind).writable);
}

TEST(Document, AReferenceMeansOneDocumentOnly) {
  const Buffer bytes = sealed();
  const FileRef ref = {1, bytes.size(), kToyHasher.digest(bytes)};
  EXPECT_EQ(as_text(open_document(bytes, "test", kKind, ref, kToyHasher).payload), "a payload");
  FileRef other_size = ref;
  other_size.size += 1;
  EXPECT_THROW(open_document(bytes, "test", kKind, other_size, kToyHasher), CorruptionError);
  const Buffer other = seal_document(kKind, as_bytes("a Payload"));
  EXPECT_THROW(open_document(other, "test", kKind, ref, kToyHasher), CorruptionError);
}

TEST(Document, ExtensionsAreKeptInOrder) {
  const Extensions extensions = {{3, {std::byte{1}, std::byte{2}}}, {70, {}}};
  ByteWriter out;
  write_extensions(out, extensions);
  ByteReader in(out.view(), "test");
  EXPECT_EQ(read_extensions(in), extensions);
  in.expect_end();

  ByteWriter twice;
  write_extensions(twice, {{3, {}}, {3, {}}});
  ByteReader bad(twice.view(), "test");
  EXPECT_THROW(read_extensions(bad), CorruptionError);
}

TEST(Document, ACountBeyondTheBytesIsRefusedBeforeMemoryIsTaken) {
  ByteWriter out;
  out.u32(0xffffffff);
  ByteReader in(out.view(), "test");
  EXPECT_THROW(read_extensions(in), CorruptionError);
}

TEST(Document, SpecsAreCheckedFieldByField) {
  const auto answer = [](const std::function<void(VectorSpec&)>& change) {
    VectorSpec spec;
    spec.dim = 8;
    change(spec);
    ByteWriter out;
    write_spec(out, spec);
    return answer_of([&] {
      ByteReader in(out.view(), "test");
      const VectorSpec found = read_spec(in);
      EXPECT_EQ(found.dim, spec.dim);
      EXPECT_EQ(found.layout, spec.layout);
      EXPECT_EQ(found.seed, spec.seed);
    });
  };
  EXPECT_EQ(answer([](VectorSpec& s) { s.seed = 5; }), Answer::kFine);
  EXPECT_EQ(answer([](VectorSpec& s) { s.dim = 0; }), Answer::kDamaged);
  EXPECT_EQ(answer([](VectorSpec& s) { s.dim = 65537; }), Answer::kDamaged);
  EXPECT_EQ(answer([](VectorSpec& s) { s.metric = Metric::kHamming; }), Answer::kDamaged) << "hamming of floats";
  EXPECT_EQ(answer([](VectorSpec& s) { s.metric = static_cast<Metric>(0); }), Answer::kDamaged);
  EXPECT_EQ(answer([](VectorSpec& s) { s.metric = static_cast<Metric>(5); }), Answer::kTooNew);
  EXPECT_EQ(answer([](VectorSpec& s) { s.dtype = static_cast<DType>(4); }), Answer::kTooNew);
  EXPECT_EQ(answer([](VectorSpec& s) { s.codes = static_cast<CodeKind>(2); }), Answer::kTooNew);
  EXPECT_EQ(answer([](VectorSpec& s) { s.m = 0xffffffff; }), Answer::kDamaged);
  EXPECT_EQ(answer([](VectorSpec& s) { s.layout = Layout::kNodes; }), Answer::kFine);
  EXPECT_EQ(answer([](VectorSpec& s) { s.layout = Layout::kNeighbours; }), Answer::kDamaged) << "of 8 dimensions";
  EXPECT_EQ(answer([](VectorSpec& s) { s.dim = 16, s.layout = Layout::kNeighbours; }), Answer::kFine);
  EXPECT_EQ(answer([](VectorSpec& s) { s.layout = static_cast<Layout>(3); }), Answer::kDamaged);
  EXPECT_EQ(answer([](VectorSpec& s) { s.layout = static_cast<Layout>(255); }), Answer::kDamaged);
}

TEST(Document, TheLayoutIsTheEighthByteOfASpec) {
  VectorSpec spec;
  spec.dim = 16;
  const auto bytes = [&spec](Layout layout) {
    spec.layout = layout;
    ByteWriter out;
    write_spec(out, spec);
    return Buffer(out.view().begin(), out.view().end());
  };
  const Buffer plain = bytes(Layout::kAuto);
  ASSERT_EQ(plain.size(), 24U);
  for (const Layout layout : {Layout::kAuto, Layout::kNodes, Layout::kNeighbours}) {
    Buffer expected = plain;
    expected[7] = static_cast<std::byte>(layout);
    EXPECT_EQ(bytes(layout), expected);
  }
  EXPECT_EQ(plain[7], std::byte{0});
}

}  // namespace
}  // namespace lamina
