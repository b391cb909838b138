// A mapping of bytes in memory, aligned as a real one is.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "base/buffer.h"
#include "io/file.h"

namespace lamina {

class TestMapping final : public Mapping {
 public:
  explicit TestMapping(Bytes bytes, std::string path = "test")
      : buffer_(bytes.size()), size_(bytes.size()), path_(std::move(path)) {
    std::ranges::copy(bytes, buffer_.data());
  }
  Bytes bytes() const override { return {buffer_.data(), size_}; }
  const std::string& path() const override { return path_; }
  std::byte* data() { return buffer_.data(); }
  void let_go(uint64_t offset, uint64_t length) const override { let_go_of_.emplace_back(offset, length); }
  const std::vector<std::pair<uint64_t, uint64_t>>& let_go_of() const { return let_go_of_; }

 private:
  AlignedBuffer buffer_;
  size_t size_;
  std::string path_;
  mutable std::vector<std::pair<uint64_t, uint64_t>> let_go_of_;  // offset and length; one thread
};

}  // namespace lamina
