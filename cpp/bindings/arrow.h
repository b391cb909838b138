// Arrow arrays in memory, without Arrow: by its C data interface, which gives these two structs and says who releases
// what (https://arrow.apache.org/docs/format/CDataInterface.html).
#pragma once

#include <cstdint>
#include <span>

namespace lamina {

struct ArrowSchema {
  const char* format;
  const char* name;
  const char* metadata;
  int64_t flags;
  int64_t n_children;
  ArrowSchema** children;
  ArrowSchema* dictionary;
  void (*release)(ArrowSchema*);
  void* private_data;
};

struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void** buffers;
  ArrowArray** children;
  ArrowArray* dictionary;
  void (*release)(ArrowArray*);
  void* private_data;
};

// Row i is row rows[i] of the array which[i].
struct ArrowRows {
  std::span<const int64_t> which;
  std::span<const int64_t> rows;
};

// These rows of some arrays, as an array of its own: each value is read once, and nothing beside them.
// std::invalid_argument for a type that is not known here (views, unions, dictionaries and run-ends are not), and for
// more values in lists, or bytes in texts, than their offsets can count. REQUIRES: the arrays are valid and of the type
// `schema`; each row is there.
ArrowArray take(const ArrowSchema& schema, std::span<const ArrowArray* const> arrays, const ArrowRows& wanted);

}  // namespace lamina
