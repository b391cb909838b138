#include "bindings/arrow.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace lamina {
namespace {

// An array, and where its first row lies in its buffers: those of a struct's fields begin where the struct does.
struct Source {
  const ArrowArray* array;
  int64_t first;
};

Source source_of(const ArrowArray& array, int64_t before = 0) { return {&array, before + array.offset}; }

// What an array that was made here owns.
struct Made {
  std::vector<std::unique_ptr<std::byte[]>> memory;
  std::vector<const void*> buffers;
  std::vector<ArrowArray> children;
  std::vector<ArrowArray*> child_pointers;

  ~Made() {
    for (ArrowArray& child : children) {
      if (child.release != nullptr) child.release(&child);
    }
  }
  template <class T>
  T* add(size_t count) {
    memory.push_back(std::make_unique_for_overwrite<std::byte[]>(std::max<size_t>(count * sizeof(T), 1)));
    buffers.push_back(memory.back().get());
    return reinterpret_cast<T*>(memory.back().get());
  }
};

void release_made(ArrowArray* array) {
  delete static_cast<Made*>(array->private_data);
  array->release = nullptr;
}

bool bit(const void* bits, int64_t i) { return (static_cast<const uint8_t*>(bits)[i / 8] >> (i % 8) & 1) != 0; }

// A bit for each row: what `is_set` says of its source and the place in that.
template <class IsSet>
int64_t take_bits(Made& made, std::span<const Source> from, const ArrowRows& wanted, IsSet&& is_set) {
  const size_t bytes = (wanted.rows.size() + 7) / 8;
  auto* const bits = made.add<uint8_t>(bytes);
  std::fill_n(bits, bytes, uint8_t{0});
  int64_t set = 0;
  for (size_t i = 0; i < wanted.rows.size(); ++i) {
    const Source& source = from[static_cast<size_t>(wanted.which[i])];
    if (!is_set(*source.array, source.first + wanted.rows[i])) continue;
    bits[i / 8] = static_cast<uint8_t>(bits[i / 8] | 1U << i % 8);
    ++set;
  }
  return set;
}

// Returns how many rows are null.
int64_t take_validity(Made& made, std::span<const Source> from, const ArrowRows& wanted) {
  const auto may_be_null = [](const Source& source) {
    return source.array->null_count != 0 && source.array->buffers[0] != nullptr;
  };
  if (std::ranges::none_of(from, may_be_null)) {
    made.buffers.push_back(nullptr);
    return 0;
  }
  const int64_t valid = take_bits(made, from, wanted, [](const ArrowArray& array, int64_t at) {
    return array.buffers[0] == nullptr || bit(array.buffers[0], at);
  });
  return static_cast<int64_t>(wanted.rows.size()) - valid;
}

template <size_t kWidth>
void take_fixed(Made& made, std::span<const Source> from, const ArrowRows& wanted) {
  struct alignas(1) Value {
    std::byte bytes[kWidth];
  };
  std::vector<const Value*> values;
  values.reserve(from.size());
  for (const Source& source : from)
    values.push_back(static_cast<const Value*>(source.array->buffers[1]) + source.first);
  auto* const out = made.add<Value>(wanted.rows.size());
  for (size_t i = 0; i < wanted.rows.size(); ++i) out[i] = values[static_cast<size_t>(wanted.which[i])][wanted.rows[i]];
}

void take_fixed(Made& made, size_t width, std::span<const Source> from, const ArrowRows& wanted) {
  switch (width) {
    case 1: return take_fixed<1>(made, from, wanted);
    case 2: return take_fixed<2>(made, from, wanted);
    case 4: return take_fixed<4>(made, from, wanted);
    case 8: return take_fixed<8>(made, from, wanted);
    case 16: return take_fixed<16>(made, from, wanted);
    case 32: return take_fixed<32>(made, from, wanted);
    default: throw std::invalid_argument("an Arrow type of " + std::to_string(width) + " bytes a value");
  }
}

// Where the values of row i begin and end.
template <class Offset>
const Offset* offsets_of(std::span<const Source> from, const ArrowRows& wanted, size_t i) {
  const Source& source = from[static_cast<size_t>(wanted.which[i])];
  return static_cast<const Offset*>(source.array->buffers[1]) + source.first + wanted.rows[i];
}

template <class Offset>
const Offset* take_offsets(Made& made, std::span<const Source> from, const ArrowRows& wanted) {
  auto* const ends = made.add<Offset>(wanted.rows.size() + 1);
  uint64_t end = 0;
  ends[0] = 0;
  for (size_t i = 0; i < wanted.rows.size(); ++i) {
    const Offset* const given = offsets_of<Offset>(from, wanted, i);
    end += static_cast<uint64_t>(given[1] - given[0]);
    if (end > static_cast<uint64_t>(std::numeric_limits<Offset>::max())) {
      throw std::invalid_argument("more values in one column than its offsets can count: ask for fewer rows at once");
    }
    ends[i + 1] = static_cast<Offset>(end);
  }
  return ends;
}

template <class Offset>
void take_texts(Made& made, std::span<const Source> from, const ArrowRows& wanted) {
  const Offset* const ends = take_offsets<Offset>(made, from, wanted);
  auto* const out = made.add<std::byte>(static_cast<size_t>(ends[wanted.rows.size()]));
  for (size_t i = 0; i < wanted.rows.size(); ++i) {
    if (ends[i] == ends[i + 1]) continue;
    const Offset begin = *offsets_of<Offset>(from, wanted, i);
    const auto* const text =
        static_cast<const std::byte*>(from[static_cast<size_t>(wanted.which[i])].array->buffers[2]);
    std::memcpy(out + ends[i], text + begin, static_cast<size_t>(ends[i + 1] - ends[i]));
  }
}

ArrowArray take_from(const ArrowSchema& schema, std::span<const Source> from, const ArrowRows& wanted);

void take_lists(Made& made, const ArrowSchema& schema, std::span<const Source> from, const ArrowRows& wanted) {
  const int32_t* const ends = take_offsets<int32_t>(made, from, wanted);
  std::vector<int64_t> which, rows;
  which.reserve(static_cast<size_t>(ends[wanted.rows.size()]));
  rows.reserve(which.capacity());
  for (size_t i = 0; i < wanted.rows.size(); ++i) {
    const int32_t* const given = offsets_of<int32_t>(from, wanted, i);
    for (int64_t row = given[0]; row < given[1]; ++row) {
      which.push_back(wanted.which[i]);
      rows.push_back(row);
    }
  }
  std::vector<Source> values;
  for (const Source& source : from) values.push_back(source_of(*source.array->children[0]));
  made.children.push_back(take_from(*schema.children[0], values, {which, rows}));
}

void take_structs(Made& made, const ArrowSchema& schema, std::span<const Source> from, const ArrowRows& wanted) {
  made.children.reserve(static_cast<size_t>(schema.n_children));
  std::vector<Source> fields;
  for (int64_t child = 0; child < schema.n_children; ++child) {
    fields.clear();
    for (const Source& source : from) fields.push_back(source_of(*source.array->children[child], source.first));
    made.children.push_back(take_from(*schema.children[child], fields, wanted));
  }
}

// Bytes of a value; 0: they are not of one width, or the type is not known.
size_t width_of(std::string_view format) {
  if (format.size() == 1) {
    constexpr std::string_view kLetters = "cCsSeiIflLg";
    constexpr size_t kWidths[] = {1, 1, 2, 2, 2, 4, 4, 4, 8, 8, 8};
    const size_t at = kLetters.find(format);
    return at == std::string_view::npos ? 0 : kWidths[at];
  }
  if (format == "tdD" || format == "tts" || format == "ttm") return 4;
  if (format.starts_with('t')) return 8;  // of date and time, the others
  if (!format.starts_with("d:")) return 0;
  const size_t bits_at = format.find(',', format.find(',') + 1);  // d:precision,scale,bits
  size_t bits = 128;
  if (bits_at != std::string_view::npos) std::from_chars(&format[bits_at + 1], format.data() + format.size(), bits);
  return bits / 8;
}

void take_values(Made& made, const ArrowSchema& schema, std::span<const Source> from, const ArrowRows& wanted) {
  const std::string_view format = schema.format;
  if (format == "b") {
    take_bits(made, from, wanted, [](const ArrowArray& array, int64_t at) { return bit(array.buffers[1], at); });
  } else if (format == "u" || format == "z") {
    take_texts<int32_t>(made, from, wanted);
  } else if (format == "U" || format == "Z") {
    take_texts<int64_t>(made, from, wanted);
  } else if (format == "+l" || format == "+m") {
    take_lists(made, schema, from, wanted);
  } else if (format == "+s") {
    take_structs(made, schema, from, wanted);
  } else if (const size_t width = width_of(format); width != 0 && schema.dictionary == nullptr) {
    take_fixed(made, width, from, wanted);
  } else {
    throw std::invalid_argument("rows of the Arrow type '" + std::string(format) + "' cannot be taken");
  }
}

ArrowArray take_from(const ArrowSchema& schema, std::span<const Source> from, const ArrowRows& wanted) {
  auto made = std::make_unique<Made>();
  ArrowArray array{};
  array.length = static_cast<int64_t>(wanted.rows.size());
  if (std::string_view(schema.format) == "n") {
    array.null_count = array.length;
  } else {
    array.null_count = take_validity(*made, from, wanted);
    take_values(*made, schema, from, wanted);
  }
  for (ArrowArray& child : made->children) made->child_pointers.push_back(&child);
  array.n_buffers = static_cast<int64_t>(made->buffers.size());
  array.buffers = made->buffers.data();
  array.n_children = static_cast<int64_t>(made->children.size());
  array.children = made->child_pointers.data();
  array.release = &release_made;
  array.private_data = made.release();
  return array;
}

}  // namespace

ArrowArray take(const ArrowSchema& schema, std::span<const ArrowArray* const> arrays, const ArrowRows& wanted) {
  std::vector<Source> from;
  from.reserve(arrays.size());
  for (const ArrowArray* array : arrays) from.push_back(source_of(*array));
  return take_from(schema, from, wanted);
}

}  // namespace lamina
