// What a distance is, and how a vector is stored.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lamina {

// Distances ascend always: 1 - cos, 1 - dot, squared Euclidean, number of differing bits.
// The numbers are written to files: never change them.
enum class Metric : uint8_t { kCosine = 1, kIp = 2, kL2 = 3, kHamming = 4 };

// How the vector that was given is kept. kBits: dim/8 bytes, for kHamming only.
enum class DType : uint8_t { kF32 = 1, kF16 = 2, kBits = 3 };

// What stands for a vector while the graph is walked. kNone: the stored vector itself.
enum class CodeKind : uint8_t { kNone = 0, kI8 = 1 };

// How the codes of a sealed graph lie in memory. kNodes: a code of each row, in the order of the rows. kNeighbours:
// with each row, beside its links, 1-bit codes of the rows that they lead to. kAuto: the one that is expected to be
// faster. The numbers are written to files: never change them.
enum class Layout : uint8_t { kAuto = 0, kNodes = 1, kNeighbours = 2 };

Metric parse_metric(
    std::string_view name);                // also cos, dot, inner_product, l2sq, euclidean; else std::invalid_argument
std::string_view name_of(Metric metric);   // "cosine", "ip", "l2", "hamming"
DType parse_dtype(std::string_view name);  // "float32", "float16", "bits"
std::string_view name_of(DType dtype);
Layout parse_layout(std::string_view name);  // "auto", "nodes", "neighbours"
std::string_view name_of(Layout layout);

// Everything about a set of vectors that is fixed when it is made. Immutable.
struct VectorSpec {
  uint32_t dim = 0;  // elements; bits for kHamming. 1..65536, a multiple of 8 for kHamming
  Metric metric = Metric::kCosine;
  DType dtype = DType::kF32;
  CodeKind codes = CodeKind::kI8;
  Layout layout = Layout::kAuto;   // kNeighbours: only where there are 8-bit codes, has_i8()
  uint32_t m = 16;                 // links a row in the upper levels; 2m on level 0
  uint32_t ef_construction = 200;  // search breadth while building
  uint64_t seed = 0;

  size_t vector_bytes() const {
    return dtype == DType::kF32 ? size_t{dim} * 4 : dtype == DType::kF16 ? size_t{dim} * 2 : size_t{dim} / 8;
  }
  // Vectors and queries as they are given, before they are stored: float32, or bits.
  DType given_dtype() const { return dtype == DType::kBits ? DType::kBits : DType::kF32; }
  size_t given_bytes() const { return given_dtype() == DType::kF32 ? size_t{dim} * 4 : size_t{dim} / 8; }
};

// std::invalid_argument, saying which value cannot be.
void validate(const VectorSpec& spec);

}  // namespace lamina
