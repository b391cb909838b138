// Bytes in and out of files: little-endian numbers, a writer that appends, a reader that never trusts.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace lamina {

static_assert(std::endian::native == std::endian::little, "lamina reads its files in place: little-endian CPUs only");

using Bytes = std::span<const std::byte>;

// `p` needs no alignment.
template <class T>
T load_le(const std::byte* p) {
  static_assert(std::is_arithmetic_v<T>);
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

template <class T>
void store_le(std::byte* p, T value) {
  static_assert(std::is_arithmetic_v<T>);
  std::memcpy(p, &value, sizeof value);
}

inline Bytes as_bytes(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

template <class T>
Bytes as_bytes(const std::vector<T>& values) {
  static_assert(std::is_trivially_copyable_v<T>);
  return std::as_bytes(std::span(values));
}

inline std::string_view as_text(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

// Appends to a growing buffer. One thread at a time.
class ByteWriter {
 public:
  void u8(uint8_t value) { number(value); }
  void u16(uint16_t value) { number(value); }
  void u32(uint32_t value) { number(value); }
  void u64(uint64_t value) { number(value); }
  void i64(int64_t value) { number(value); }
  void f32(float value) { number(value); }
  void f64(double value) { number(value); }
  void bytes(Bytes value) { buffer_.insert(buffer_.end(), value.begin(), value.end()); }
  void string(std::string_view value);  // u32 length, then the bytes; std::length_error beyond u32
  void align(size_t n);                 // zeros up to the next multiple of n > 0 from the start of the buffer

  // Overwrites what was written earlier. REQUIRES: offset + sizeof(T) <= size().
  template <class T>
  void patch(size_t offset, T value) {
    store_le(buffer_.data() + offset, value);
  }

  size_t size() const { return buffer_.size(); }
  Bytes view() const { return buffer_; }  // until the next call that appends
  std::vector<std::byte> take() { return std::exchange(buffer_, {}); }

 private:
  template <class T>
  void number(T value) {
    const size_t at = buffer_.size();
    buffer_.resize(at + sizeof value);
    store_le(buffer_.data() + at, value);
  }

  std::vector<std::byte> buffer_;
};

// Reads `bytes`, which lie at `base` in `file` and outlive the reader. Every read is bounds-checked: too little
// left, or anything else that does not hold, is CorruptionError naming the file and the offset in it.
class ByteReader {
 public:
  ByteReader(Bytes bytes, std::string file, uint64_t base = 0) : bytes_(bytes), file_(std::move(file)), base_(base) {}

  uint8_t u8() { return number<uint8_t>(); }
  uint16_t u16() { return number<uint16_t>(); }
  uint32_t u32() { return number<uint32_t>(); }
  uint64_t u64() { return number<uint64_t>(); }
  int64_t i64() { return number<int64_t>(); }
  float f32() { return number<float>(); }
  double f64() { return number<double>(); }
  Bytes bytes(uint64_t n);  // a view into the input
  std::string string(size_t max_size = std::numeric_limits<uint32_t>::max());
  void skip(uint64_t n) { bytes(n); }
  void align(size_t n);  // skips the writer's padding, which must be there and zero

  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }
  uint64_t offset() const { return base_ + position_; }  // in the file
  const std::string& file() const { return file_; }
  void expect_end() const;
  [[noreturn]] void corrupt(std::string expected, std::string found) const;  // at offset()

 private:
  template <class T>
  T number() {
    return load_le<T>(bytes(sizeof(T)).data());
  }

  Bytes bytes_;
  std::string file_;
  uint64_t base_;
  size_t position_ = 0;
};

}  // namespace lamina
