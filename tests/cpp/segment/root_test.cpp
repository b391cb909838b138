// Goal: a root gives back every field, or says what is wrong. Method: as for the manifest.
#include "segment/root.h"

#include <gtest/gtest.h>

#include "segment/damage.h"
#include "segment/repair.h"

namespace lamina {
namespace {

using sample::Buffer;

Root decode(Bytes bytes) { return decode_root(open_document(bytes, "test", DocumentKind::kRoot), "test"); }

TEST(Root, RoundTrips) {
  Root root = sample::root();
  root.collections.push_back({4, "", 0, 0, 0, 0, {}, {{1, {std::byte{5}}}}});
  root.tags.push_back({"", 4, 0, 0, {}, {{7, {std::byte{8}}}}});
  root.extensions = {{2, {std::byte{6}}}};
  EXPECT_EQ(decode(encode_root(root)), root);
  EXPECT_EQ(decode(encode_root(Root{})), Root{});
}

TEST(Root, EveryFlipAndCutIsNoticed) {
  const ReadBytes read = [](const auto& file) { decode(file->bytes()); };
  expect_flips_noticed(encode_root(sample::root()), read);
  expect_cuts_noticed(encode_root(sample::root()), read);
}

TEST(Root, BytesThatWereMadeUpDoNoHarm) {
  const Buffer whole = encode_root(sample::root());
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const int value : {0x00, 0x01, 0x7f, 0xff}) {
      Buffer bytes = whole;
      bytes[at] = static_cast<std::byte>(value);
      repair_document(bytes);
      answer_of([&] { encode_root(decode(bytes)); });
    }
  }
}

TEST(Root, RefusesWhatStandsTwiceAndALogThatEndsBeforeItStarts) {
  Root root = sample::root();
  root.collections.push_back(root.collections[0]);
  root.collections[1].name = "other";
  EXPECT_THROW(decode(encode_root(root)), CorruptionError) << "an id twice";
  root.collections[1].id = 99;
  EXPECT_EQ(decode(encode_root(root)), root);
  root.collections[1].name = "docs";
  EXPECT_THROW(decode(encode_root(root)), CorruptionError) << "a name twice";
  root = sample::root();
  root.tags.push_back(root.tags[0]);
  EXPECT_THROW(decode(encode_root(root)), CorruptionError) << "a tag twice";
  root.tags[1].collection = 98;
  EXPECT_THROW(decode(encode_root(root)), CorruptionError) << "a tag of no collection";
  root = sample::root();
  root.stand_ins.push_back(root.stand_ins[0]);
  EXPECT_THROW(decode(encode_root(root)), CorruptionError) << "two stand-ins for one";
  root = sample::root();
  root.log.start = root.log.end + 8;
  EXPECT_THROW(decode(encode_root(root)), CorruptionError);
}

}  // namespace
}  // namespace lamina
