// The root: what a store consists of. A value and its bytes; what it means is the store's affair.
#pragma once

#include <string>
#include <vector>

#include "segment/document.h"

namespace lamina {

using StoreId = std::array<std::byte, 16>;

// Where the log stood when a root was made.
struct LogWitness {
  uint64_t number = 0;
  uint64_t start = 0;  // replay begins here; frames before it are in segments
  uint64_t end = 0;
  uint32_t witness = 0;  // LogFrame::header_crc of the frame that ends at `end`; of the log header if none does
  bool clean = false;    // the writer closed: no frame follows `end`
  // The log that this one took over from, and where it ended, synced; zero: not known.
  uint64_t previous = 0;
  uint64_t previous_end = 0;
  bool operator==(const LogWitness&) const = default;
};

struct Root {
  struct Collection {
    uint64_t id = 0;
    std::string name;
    uint64_t version = 0;  // the last that touched it, among those in its manifest
    int64_t time_us = 0;   // of that version
    uint64_t since = 0;    // manifest and log together give every version of it from this one on
    uint64_t lineage = 0;  // the id of the first of the collections that branched from each other: its own or another's
    FileRef manifest;
    Extensions extensions;
    bool operator==(const Collection&) const = default;
  };

  // A version with a name, kept until it is taken off.
  struct Tag {
    std::string name;
    uint64_t collection = 0;  // one of the root's
    uint64_t version = 0;
    int64_t time_us = 0;
    FileRef manifest;  // has every row of that version: no log is needed
    Extensions extensions;
    bool operator==(const Tag&) const = default;
  };

  // A segment's file in which something derived was damaged, and the one that is read instead, whatever names the
  // first: the same segment id, rows and order.
  struct StandIn {
    uint64_t damaged = 0;  // its number
    FileRef file;
    bool operator==(const StandIn&) const = default;
  };

  StoreId store{};
  uint64_t seq = 0;
  uint64_t version = 0;
  uint32_t timeline = 0;
  int64_t time_us = 0;
  Digest parent{};  // of the root before; zero: none
  uint64_t next_file = 1;
  uint64_t next_collection = 1;
  std::string settings;
  LogWitness log;
  std::vector<Collection> collections;  // no id and no name twice
  std::vector<Tag> tags;                // no name twice in a collection
  std::vector<StandIn> stand_ins;       // ascending by the number of what is damaged, each once
  Extensions extensions;
  bool operator==(const Root&) const = default;
};

// A whole document, ready to be published.
std::vector<std::byte> encode_root(const Root& root);
Root decode_root(const Document& document, const std::string& file);

}  // namespace lamina
