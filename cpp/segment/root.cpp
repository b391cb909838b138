#include "segment/root.h"

#include <set>

#include "segment/format.h"

namespace lamina {
namespace {

constexpr size_t kLeastCollectionBytes = 8 + 4 + 4 * 8 + 48 + 4;
constexpr size_t kLeastTagBytes = 4 + 3 * 8 + 48 + 4;
constexpr size_t kStandInBytes = 8 + 48;

void write_log(ByteWriter& out, const LogWitness& log) {
  out.u64(log.number);
  out.u64(log.start);
  out.u64(log.end);
  out.u32(log.witness);
  out.u8(log.clean ? 1 : 0);
  write_zeros(out, 3);
  out.u64(log.previous);
  out.u64(log.previous_end);
}

LogWitness read_log(ByteReader& in) {
  LogWitness log;
  log.number = in.u64();
  log.start = in.u64();
  log.end = in.u64();
  if (log.start > log.end) in.corrupt("a log that starts before " + std::to_string(log.end), std::to_string(log.start));
  log.witness = in.u32();
  const uint8_t clean = in.u8();
  if (clean > 1) in.corrupt("0 or 1", std::to_string(clean));
  log.clean = clean == 1;
  read_zeros(in, 3);
  log.previous = in.u64();
  log.previous_end = in.u64();
  return log;
}

std::vector<Root::Collection> read_collections(ByteReader& in) {
  std::vector<Root::Collection> collections(read_count(in, kLeastCollectionBytes));
  std::set<uint64_t> ids;
  std::set<std::string> names;
  for (Root::Collection& collection : collections) {
    collection.id = in.u64();
    if (!ids.insert(collection.id).second) in.corrupt("each collection once", std::to_string(collection.id));
    collection.name = in.string();
    if (!names.insert(collection.name).second) in.corrupt("each name once", "'" + collection.name + "' again");
    collection.version = in.u64();
    collection.time_us = in.i64();
    collection.since = in.u64();
    collection.lineage = in.u64();
    collection.manifest = read_ref(in);
    collection.extensions = read_extensions(in);
  }
  return collections;
}

std::vector<Root::Tag> read_tags(ByteReader& in, const std::vector<Root::Collection>& collections) {
  std::vector<Root::Tag> tags(read_count(in, kLeastTagBytes));
  std::set<uint64_t> ids;
  for (const Root::Collection& collection : collections) ids.insert(collection.id);
  std::set<std::pair<uint64_t, std::string>> names;
  for (Root::Tag& tag : tags) {
    tag.name = in.string();
    tag.collection = in.u64();
    if (!ids.contains(tag.collection)) in.corrupt("a tag of a collection", std::to_string(tag.collection));
    if (!names.emplace(tag.collection, tag.name).second) in.corrupt("each tag once", "'" + tag.name + "' again");
    tag.version = in.u64();
    tag.time_us = in.i64();
    tag.manifest = read_ref(in);
    tag.extensions = read_extensions(in);
  }
  return tags;
}

std::vector<Root::StandIn> read_stand_ins(ByteReader& in) {
  std::vector<Root::StandIn> stand_ins(read_count(in, kStandInBytes));
  uint64_t last = 0;
  for (Root::StandIn& one : stand_ins) {
    one.damaged = in.u64();
    if (one.damaged <= last) in.corrupt("a number above " + std::to_string(last), std::to_string(one.damaged));
    last = one.damaged;
    one.file = read_ref(in);
  }
  return stand_ins;
}

}  // namespace

std::vector<std::byte> encode_root(const Root& root) {
  ByteWriter payload;
  write_array(payload, root.store);
  payload.u64(root.seq);
  payload.u64(root.version);
  payload.u32(root.timeline);
  payload.i64(root.time_us);
  write_array(payload, root.parent);
  payload.u64(root.next_file);
  payload.u64(root.next_collection);
  payload.string(root.settings);
  write_log(payload, root.log);
  payload.u32(static_cast<uint32_t>(root.collections.size()));
  for (const Root::Collection& collection : root.collections) {
    payload.u64(collection.id);
    payload.string(collection.name);
    payload.u64(collection.version);
    payload.i64(collection.time_us);
    payload.u64(collection.since);
    payload.u64(collection.lineage);
    write_ref(payload, collection.manifest);
    write_extensions(payload, collection.extensions);
  }
  payload.u32(static_cast<uint32_t>(root.tags.size()));
  for (const Root::Tag& tag : root.tags) {
    payload.string(tag.name);
    payload.u64(tag.collection);
    payload.u64(tag.version);
    payload.i64(tag.time_us);
    write_ref(payload, tag.manifest);
    write_extensions(payload, tag.extensions);
  }
  payload.u32(static_cast<uint32_t>(root.stand_ins.size()));
  for (const Root::StandIn& one : root.stand_ins) {
    payload.u64(one.damaged);
    write_ref(payload, one.file);
  }
  write_extensions(payload, root.extensions);
  return seal_document(DocumentKind::kRoot, payload.view());
}

Root decode_root(const Document& document, const std::string& file) {
  ByteReader in(document.payload, file, document.offset);
  Root root;
  root.store = read_array<16, std::byte>(in);
  root.seq = in.u64();
  root.version = in.u64();
  root.timeline = in.u32();
  root.time_us = in.i64();
  root.parent = read_array<32, std::byte>(in);
  root.next_file = in.u64();
  root.next_collection = in.u64();
  root.settings = in.string();
  root.log = read_log(in);
  root.collections = read_collections(in);
  root.tags = read_tags(in, root.collections);
  root.stand_ins = read_stand_ins(in);
  root.extensions = read_extensions(in);
  in.expect_end();
  return root;
}

}  // namespace lamina
