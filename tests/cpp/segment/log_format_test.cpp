// Goal: a frame is whole or not there, in its own place only; its operations come back as they went in; what a whole
// frame says is still not trusted. Method: flips and cuts of every byte; frames moved; bytes made up with checksums
// made right again.
#include "segment/log_format.h"

#include <gtest/gtest.h>

#include <limits>

#include "segment/damage.h"
#include "segment/repair.h"

namespace lamina {
namespace {

using sample::Buffer;
using sample::kLog;

LogFrame first_frame(const Buffer& log) { return parse_frame(log, kLog, kLogHeaderBytes).value(); }

Answer answer_to(const Buffer& payload) {
  LogFrame frame;
  frame.offset = kLogHeaderBytes;
  frame.payload = payload;
  return answer_of([&] { DecodedOperations(frame, "test"); });
}

TEST(LogFormat, HeaderRoundTripsAndIsBoundToStoreAndNumber) {
  const EncodedLogHeader encoded = encode_log_header(kLog);
  const LogHeader found = decode_log_header(encoded.bytes, "test", kLog.store, kLog.number);
  EXPECT_EQ(found.store, kLog.store);
  EXPECT_EQ(found.number, kLog.number);
  EXPECT_EQ(found.timeline, kLog.timeline);
  EXPECT_THROW(decode_log_header(encoded.bytes, "test", kLog.store, 21), CorruptionError);
  EXPECT_THROW(decode_log_header(encoded.bytes, "test", sample::kVectorId, 20), CorruptionError);
}

TEST(LogFormat, EveryFlipOfTheHeaderIsNoticed) {
  const EncodedLogHeader encoded = encode_log_header(kLog);
  const Buffer bytes(encoded.bytes.begin(), encoded.bytes.end());
  expect_flips_noticed(bytes, [](const auto& file) { decode_log_header(file->bytes(), "test", kLog.store, 20); });
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_THROW(decode_log_header(Bytes(bytes).first(length), "test", kLog.store, 20), CorruptionError);
  }
}

TEST(LogFormat, FramesFollowEachOther) {
  std::vector<uint64_t> ends;
  const Buffer log = sample::log(3, &ends);
  uint64_t at = kLogHeaderBytes;
  for (uint64_t i = 0; i < 3; ++i) {
    const auto frame = parse_frame(log, kLog, at);
    ASSERT_TRUE(frame.has_value());
    EXPECT_EQ(frame->version, 43 + i);
    EXPECT_EQ(frame->durable, at);
    EXPECT_EQ(frame->timeline, 1U);
    EXPECT_EQ(frame->end, ends[i]);
    at = frame->end;
  }
  EXPECT_EQ(at, log.size());
  EXPECT_FALSE(parse_frame(log, kLog, at).has_value());
}

TEST(LogFormat, NoFlippedOrCutFrameIsWhole) {
  Buffer log = sample::log(1);
  ASSERT_TRUE(parse_frame(log, kLog, kLogHeaderBytes).has_value());
  for (size_t at = kLogHeaderBytes; at < log.size(); ++at) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      log[at] ^= static_cast<std::byte>(1U << bit);
      ASSERT_FALSE(parse_frame(log, kLog, kLogHeaderBytes).has_value()) << at << " bit " << bit;
      log[at] ^= static_cast<std::byte>(1U << bit);
    }
  }
  for (size_t length = 0; length < log.size(); ++length) {
    ASSERT_FALSE(parse_frame(Bytes(log).first(length), kLog, kLogHeaderBytes).has_value()) << length;
  }
}

TEST(LogFormat, AFrameIsWholeInItsOwnPlaceOnly) {
  const Buffer log = sample::log(2);
  const LogFrame frame = first_frame(log);
  Buffer moved = log;
  moved.insert(moved.begin() + kLogHeaderBytes, 8, std::byte{0});
  EXPECT_FALSE(parse_frame(moved, kLog, kLogHeaderBytes + 8).has_value()) << "moved";
  LogHeader other = kLog;
  other.number += 1;
  EXPECT_FALSE(parse_frame(log, other, kLogHeaderBytes).has_value()) << "another log";
  other = kLog;
  other.store = sample::kVectorId;
  EXPECT_FALSE(parse_frame(log, other, kLogHeaderBytes).has_value()) << "another store";
  EXPECT_FALSE(parse_frame(log, kLog, kLogHeaderBytes + 4).has_value()) << "no multiple of eight";
  EXPECT_FALSE(parse_frame(log, kLog, std::numeric_limits<uint64_t>::max() - 7).has_value());
  EXPECT_TRUE(parse_frame(log, kLog, frame.end).has_value());
}

TEST(LogFormat, FindsTheNextWholeFrameBehindDamage) {
  std::vector<uint64_t> ends;
  Buffer log = sample::log(3, &ends);
  log[kLogHeaderBytes + 60] ^= std::byte{1};
  EXPECT_FALSE(parse_frame(log, kLog, kLogHeaderBytes).has_value());
  const auto found = find_frame(log, kLog, kLogHeaderBytes + 1);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->offset, ends[0]);
  EXPECT_FALSE(find_frame(log, kLog, ends[1] + 8).has_value());
  EXPECT_FALSE(find_frame(log, kLog, log.size() + 1).has_value());
}

TEST(LogFormat, OperationsRoundTrip) {
  const Buffer log = sample::log(1);
  const DecodedOperations decoded(first_frame(log), "test");
  ASSERT_EQ(decoded.operations().size(), 3U);
  const auto owned = sample::operations();
  const auto& put = std::get<PutOperation>(decoded.operations()[0]);
  EXPECT_EQ(put.collection, 3U);
  EXPECT_EQ(std::vector<int64_t>(put.ids.ints.begin(), put.ids.ints.end()), owned->ids);
  ASSERT_EQ(put.fields.size(), 2U);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(put.fields[i].rid, owned->fields[i].rid);
    EXPECT_EQ(put.fields[i].version, 43U);
    EXPECT_EQ(put.fields[i].created_us, owned->fields[i].created_us);
    EXPECT_EQ(put.fields[i].updated_us, owned->fields[i].updated_us);
    EXPECT_EQ(put.fields[i].content_hash, owned->fields[i].content_hash);
    EXPECT_EQ(put.fields[i].scope, owned->fields[i].scope);
    EXPECT_EQ(put.fates[i], owned->fates[i]);
  }
  EXPECT_EQ(as_text(put.columns), "two rows");
  EXPECT_EQ(put.fingerprint, sample::fingerprint());
  EXPECT_EQ(put.dim, 4U);
  EXPECT_EQ(put.provenance[0].embedded_at_us, 77);
  EXPECT_EQ(as_text(put.vectors), as_text(as_bytes(owned->vectors)));
  const auto& erase = std::get<DeleteOperation>(decoded.operations()[1]);
  EXPECT_EQ(std::vector<uint64_t>(erase.rids.begin(), erase.rids.end()), owned->dead);
  const auto& settings = std::get<SettingsOperation>(decoded.operations()[2]);
  EXPECT_EQ(settings.collection, 3U);
  EXPECT_EQ(settings.settings, owned->settings);
}

TEST(LogFormat, TextIdsAndRowsWithoutVectorsRoundTrip) {
  const std::vector<std::string_view> ids = {"b", "", "a longer id"};
  std::vector<RecordFields> fields(3);
  for (size_t i = 0; i < 3; ++i) fields[i].rid = 3 - i;
  const std::vector<VectorFate> fates = {VectorFate::kKept, VectorFate::kNone, VectorFate::kKept};
  PutOperation put;
  put.ids = {IdKind::kString, {}, ids};
  put.fields = fields;
  put.fates = fates;
  const std::vector<Operation> operations = {put, PutOperation{}};
  LogFrame frame;
  const Buffer payload = encode_operations(operations);
  frame.payload = payload;
  const DecodedOperations decoded(frame, "test");
  const auto& found = std::get<PutOperation>(decoded.operations()[0]);
  EXPECT_EQ(std::vector<std::string_view>(found.ids.strings.begin(), found.ids.strings.end()), ids);
  EXPECT_TRUE(found.provenance.empty());
  EXPECT_EQ(std::get<PutOperation>(decoded.operations()[1]).ids.size(), 0U);
}

TEST(LogFormat, VectorsOfRecordsThatAreThereRoundTrip) {
  const auto owned = sample::operations();
  const auto& put = std::get<PutOperation>(owned->operations[0]);
  std::vector<uint64_t> rids = {11};
  VectorsOperation vectors{put, 3, rids};
  const auto decoded_answer = [&] { return answer_to(encode_operations(std::vector<Operation>{vectors})); };
  LogFrame frame;
  const Buffer payload = encode_operations(std::vector<Operation>{vectors});
  frame.payload = payload;
  const DecodedOperations decoded(frame, "test");
  const auto& found = std::get<VectorsOperation>(decoded.operations()[0]);
  EXPECT_EQ(found.collection, 3U);
  EXPECT_EQ(std::vector<uint64_t>(found.rids.begin(), found.rids.end()), rids);
  EXPECT_EQ(found.fingerprint, sample::fingerprint());
  EXPECT_EQ(found.dim, 4U);
  ASSERT_EQ(found.provenance.size(), 1U);
  EXPECT_EQ(found.provenance[0].embedded_at_us, 77);
  EXPECT_EQ(Buffer(found.vectors.begin(), found.vectors.end()), Buffer(put.vectors.begin(), put.vectors.end()));
  rids.push_back(12);
  vectors.rids = rids;
  EXPECT_EQ(decoded_answer(), Answer::kDamaged) << "a vector missing";
}

TEST(LogFormat, AnOperationOfALaterBuildIsTooNew) {
  Buffer payload = encode_operations(sample::operations()->operations);
  payload[8] = std::byte{5};
  EXPECT_EQ(answer_to(payload), Answer::kTooNew);
  payload[8] = std::byte{0};
  EXPECT_EQ(answer_to(payload), Answer::kDamaged);
}

TEST(LogFormat, WhatCannotBeIsRefusedThoughTheFrameIsWhole) {
  const auto refuse = [](const std::function<void(sample::OwnedOperations&, PutOperation&)>& change) {
    const auto owned = sample::operations();
    change(*owned, std::get<PutOperation>(owned->operations[0]));
    return answer_to(encode_operations(owned->operations));
  };
  EXPECT_EQ(refuse([](auto&, auto&) {}), Answer::kFine);
  EXPECT_EQ(refuse([](auto& o, auto&) { o.fields[1].rid = o.fields[0].rid; }), Answer::kDamaged) << "a rid twice";
  EXPECT_EQ(refuse([](auto& o, auto&) { o.ids[1] = o.ids[0]; }), Answer::kDamaged) << "an id twice";
  EXPECT_EQ(refuse([](auto& o, auto&) { o.dead[1] = o.dead[0]; }), Answer::kDamaged) << "a dead rid twice";
  EXPECT_EQ(refuse([](auto& o, auto&) { o.fates[1] = VectorFate::kGiven; }), Answer::kDamaged) << "a vector missing";
  EXPECT_EQ(refuse([](auto& o, auto&) { o.fates[1] = static_cast<VectorFate>(3); }), Answer::kDamaged);
  EXPECT_EQ(refuse([](auto&, auto& put) { put.dim = 5; }), Answer::kDamaged);
  EXPECT_EQ(refuse([](auto&, auto& put) { put.dim = 0; }), Answer::kDamaged);
  EXPECT_EQ(refuse([](auto&, auto& put) { put.dtype = static_cast<DType>(4); }), Answer::kTooNew);
  EXPECT_EQ(refuse([](auto& o, auto&) { o.vectors[2] = std::numeric_limits<float>::infinity(); }), Answer::kDamaged);
  EXPECT_EQ(refuse([](auto& o, auto&) { o.vectors[3] = std::numeric_limits<float>::quiet_NaN(); }), Answer::kDamaged);
}

TEST(LogFormat, BytesThatWereMadeUpDoNoHarm) {
  const Buffer whole = encode_operations(sample::operations()->operations);
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const int value : {0x00, 0x01, 0x7f, 0xff}) {
      Buffer payload = whole;
      payload[at] = static_cast<std::byte>(value);
      answer_to(payload);
      payload.resize(at);
      answer_to(payload);
    }
  }
}

TEST(LogFormat, LockNotesRoundTripAndATornOneIsNone) {
  LockNote note{kLog.store, 4711, 20, 4096, 42, "a-host"};
  Buffer bytes = encode_lock_note(note);
  EXPECT_EQ(bytes.size(), 128U);
  const auto found = decode_lock_note(bytes);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->pid, 4711);
  EXPECT_EQ(found->durable, 4096U);
  EXPECT_EQ(found->durable_version, 42U);
  EXPECT_EQ(found->host, "a-host");
  for (std::byte& byte : bytes) {
    byte ^= std::byte{4};
    ASSERT_FALSE(decode_lock_note(bytes).has_value());
    byte ^= std::byte{4};
  }
  EXPECT_FALSE(decode_lock_note({}).has_value());
  note.host = std::string(200, 'h');
  EXPECT_EQ(decode_lock_note(encode_lock_note(note))->host, std::string(68, 'h'));
}

}  // namespace
}  // namespace lamina
