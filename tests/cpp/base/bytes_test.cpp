// Goal: what ByteWriter writes ByteReader reads, and no input makes the reader step outside it.
// Method: round trips against bytes written by hand; then every truncation and hostile lengths.
#include "base/bytes.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace lamina {
namespace {

std::vector<std::byte> raw(std::initializer_list<int> values) {
  std::vector<std::byte> result;
  for (const int value : values) result.push_back(static_cast<std::byte>(value));
  return result;
}

std::vector<std::byte> sample() {
  ByteWriter out;
  out.u8(7);
  out.u16(0x1234);
  out.u32(0xdeadbeef);
  out.u64(0x0123456789abcdef);
  out.i64(-2);
  out.f32(1.5F);
  out.f64(-0.25);
  out.string("héllo");
  out.align(16);
  out.bytes(as_bytes("tail"));
  return out.take();
}

void read_sample(ByteReader& in) {
  EXPECT_EQ(in.u8(), 7);
  EXPECT_EQ(in.u16(), 0x1234);
  EXPECT_EQ(in.u32(), 0xdeadbeef);
  EXPECT_EQ(in.u64(), 0x0123456789abcdef);
  EXPECT_EQ(in.i64(), -2);
  EXPECT_EQ(in.f32(), 1.5F);
  EXPECT_EQ(in.f64(), -0.25);
  EXPECT_EQ(in.string(), "héllo");
  in.align(16);
  EXPECT_EQ(as_text(in.bytes(4)), "tail");
  in.expect_end();
}

TEST(Bytes, NumbersAreLittleEndian) {
  ByteWriter out;
  out.u16(0x0201);
  out.u32(0x06050403);
  out.string("ab");
  EXPECT_EQ(out.take(), raw({1, 2, 3, 4, 5, 6, 2, 0, 0, 0, 'a', 'b'}));
  EXPECT_EQ(out.size(), 0U);
}

TEST(Bytes, RoundTrip) {
  const auto bytes = sample();
  ByteReader in(bytes, "f");
  read_sample(in);
  EXPECT_EQ(in.remaining(), 0U);
}

TEST(Bytes, EveryTruncationIsCorruption) {
  const auto bytes = sample();
  for (size_t n = 0; n < bytes.size(); ++n) {
    ByteReader in(Bytes(bytes).first(n), "f");
    EXPECT_THROW(read_sample(in), CorruptionError) << n;
  }
}

TEST(Bytes, AlignPadsAndChecksThePadding) {
  ByteWriter out;
  out.align(8);
  EXPECT_EQ(out.size(), 0U);
  out.u8(1);
  out.align(8);
  EXPECT_EQ(out.size(), 8U);
  out.align(8);
  EXPECT_EQ(out.size(), 8U);

  auto bytes = out.take();
  bytes[5] = std::byte{9};
  ByteReader in(bytes, "f", 1000);
  in.u8();
  try {
    in.align(8);
    FAIL();
  } catch (const CorruptionError& e) {
    EXPECT_EQ(e.offset, 1005U);
    EXPECT_EQ(e.found, "9");
  }
}

TEST(Bytes, PatchOverwrites) {
  ByteWriter out;
  out.u32(0);
  out.u8(5);
  out.patch<uint32_t>(0, 77);
  ByteReader in(out.view(), "f");
  EXPECT_EQ(in.u32(), 77U);
  EXPECT_EQ(in.u8(), 5U);
}

TEST(Bytes, ErrorsNameFileOffsetExpectedAndFound) {
  const auto bytes = raw({1, 2, 3});
  ByteReader in(bytes, "dir/file", 4096);
  in.u8();
  try {
    in.u64();
    FAIL();
  } catch (const CorruptionError& e) {
    EXPECT_EQ(e.file, "dir/file");
    EXPECT_EQ(e.offset, 4097U);
    EXPECT_EQ(e.expected, "8 bytes");
    EXPECT_EQ(e.found.substr(0, 1), "2");
  }
  EXPECT_EQ(in.remaining(), 2U);  // a failed read takes nothing
}

TEST(Bytes, HostileLengths) {
  ByteWriter out;
  out.u32(0xffffffff);
  out.bytes(as_bytes("abc"));
  const auto bytes = out.take();
  ByteReader in(bytes, "f");
  EXPECT_THROW(in.string(), CorruptionError);
  ByteReader limited(bytes, "f");
  EXPECT_THROW(limited.string(100), CorruptionError);
  EXPECT_EQ(limited.position(), 0U);
  ByteReader huge(bytes, "f");
  EXPECT_THROW(huge.bytes(~uint64_t{0}), CorruptionError);
  EXPECT_THROW(huge.skip(8), CorruptionError);
  EXPECT_THROW(huge.expect_end(), CorruptionError);
  huge.skip(7);
  huge.expect_end();
  EXPECT_THROW(huge.u8(), CorruptionError);
  ByteReader nothing(Bytes{}, "f");
  EXPECT_THROW(nothing.u8(), CorruptionError);
  nothing.bytes(0);
  nothing.expect_end();
}

TEST(Bytes, StringAtItsMaximumPasses) {
  ByteWriter out;
  out.string("abcd");
  ByteReader in(out.view(), "f");
  EXPECT_EQ(in.string(4), "abcd");
}

TEST(Bytes, SpecialFloatsKeepTheirBits) {
  ByteWriter out;
  out.f64(-0.0);
  out.f32(std::nanf(""));
  ByteReader in(out.view(), "f");
  EXPECT_TRUE(std::signbit(in.f64()));
  EXPECT_TRUE(std::isnan(in.f32()));
}

}  // namespace
}  // namespace lamina
