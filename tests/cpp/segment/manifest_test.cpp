// Goal: a manifest gives back every field, or says what is wrong. Method: round trip by encoding again; flips and cuts
// with the checksum as it is, and of every byte with the checksum made right again, which must never do harm.
#include "segment/manifest.h"

#include <gtest/gtest.h>

#include "segment/damage.h"
#include "segment/repair.h"

namespace lamina {
namespace {

using sample::Buffer;

Manifest decode(Bytes bytes) { return decode_manifest(open_document(bytes, "test", DocumentKind::kManifest), "test"); }

TEST(Manifest, RoundTrips) {
  Manifest manifest = sample::manifest();
  manifest.extensions = {{9, {std::byte{1}}}};
  manifest.generations[0].extensions = {{10, {}}};
  manifest.generations[0].segments[0].extensions = {{11, {std::byte{2}}}};
  manifest.generations.push_back(manifest.generations[0]);
  manifest.generations[1].field = "title";
  const Buffer bytes = encode_manifest(manifest);
  const Manifest found = decode(bytes);
  EXPECT_EQ(found.name, "docs");
  EXPECT_EQ(found.records, manifest.records);
  ASSERT_EQ(found.generations.size(), 2U);
  EXPECT_EQ(found.generations[0].segments, manifest.generations[0].segments);
  EXPECT_EQ(found.generations[1].field, "title");
  EXPECT_EQ(found.generations[0].fingerprint, sample::fingerprint());
  EXPECT_EQ(encode_manifest(found), bytes);
}

TEST(Manifest, AMigrationRoundTripsAndAnotherStageIsTooNew) {
  Manifest manifest = sample::manifest();
  manifest.extensions = {{9, {std::byte{1}}}};
  manifest.migration = {MigrationStage::kCutOver, 3, "a note"};
  const Manifest found = decode(encode_manifest(manifest));
  EXPECT_EQ(found.migration, manifest.migration);
  EXPECT_EQ(found.extensions, manifest.extensions);
  manifest.migration.stage = static_cast<MigrationStage>(3);
  EXPECT_THROW(decode(encode_manifest(manifest)), FormatVersionError);
}

TEST(Manifest, EveryFlipAndCutIsNoticed) {
  const ReadBytes read = [](const auto& file) { decode(file->bytes()); };
  expect_flips_noticed(encode_manifest(sample::manifest()), read);
  expect_cuts_noticed(encode_manifest(sample::manifest()), read);
}

TEST(Manifest, BytesThatWereMadeUpDoNoHarm) {
  const Buffer whole = encode_manifest(sample::manifest());
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const int value : {0x00, 0x01, 0x7f, 0xff}) {
      Buffer bytes = whole;
      bytes[at] = static_cast<std::byte>(value);
      repair_document(bytes);
      answer_of([&] { encode_manifest(decode(bytes)); });
    }
  }
}

TEST(Manifest, DeadRowsNeedABitmap) {
  Manifest manifest = sample::manifest();
  manifest.generations[0].segments[0].deleted.reset();
  EXPECT_THROW(decode(encode_manifest(manifest)), CorruptionError);
  manifest.generations[0].segments[0].live = 9;
  EXPECT_THROW(decode(encode_manifest(manifest)), CorruptionError);
}

}  // namespace
}  // namespace lamina
