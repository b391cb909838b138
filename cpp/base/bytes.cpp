#include "base/bytes.h"

#include <algorithm>
#include <stdexcept>

#include "base/error.h"

namespace lamina {

void ByteWriter::string(std::string_view value) {
  if (value.size() > std::numeric_limits<uint32_t>::max()) throw std::length_error("a string longer than 4 GiB");
  u32(static_cast<uint32_t>(value.size()));
  bytes(as_bytes(value));
}

void ByteWriter::align(size_t n) { buffer_.resize(buffer_.size() + (n - buffer_.size() % n) % n); }

Bytes ByteReader::bytes(uint64_t n) {
  if (n > remaining()) corrupt(std::to_string(n) + " bytes", std::to_string(remaining()) + " (file truncated?)");
  const Bytes result = bytes_.subspan(position_, n);
  position_ += n;
  return result;
}

std::string ByteReader::string(size_t max_size) {
  const uint32_t size = u32();
  if (size > max_size) {
    position_ -= sizeof size;
    corrupt("a string of at most " + std::to_string(max_size) + " bytes", std::to_string(size));
  }
  return std::string(as_text(bytes(size)));
}

void ByteReader::align(size_t n) {
  const Bytes padding = bytes((n - position_ % n) % n);
  const auto stray = std::find_if(padding.begin(), padding.end(), [](std::byte b) { return b != std::byte{0}; });
  if (stray == padding.end()) return;
  position_ -= static_cast<size_t>(padding.end() - stray);
  corrupt("zero padding", std::to_string(std::to_integer<int>(*stray)));
}

void ByteReader::expect_end() const {
  if (remaining() != 0) corrupt("the end", std::to_string(remaining()) + " more bytes");
}

void ByteReader::corrupt(std::string expected, std::string found) const {
  throw CorruptionError(file_, offset(), std::move(expected), std::move(found));
}

}  // namespace lamina
