// Does the graph of the old model's vectors help to build that of the new model's? Each way builds a graph of the new
// vectors, as often as asked, in turns; its recall at some breadths stands beside its CPU time.
//
//   cold           as optimize() builds it: rows are linked, and then refined
//   cold, joined   rows are linked once, as refined ones, by a search from the top
//   grafted        the same, each row looked for around the rows that the old graph linked it to
//
//   build/release/graft FOLDER docs_v2 docs_v3 [ROWS [ROUNDS]]      (FOLDER/docs_v2.npy …, FOLDER/queries_v3.npy)
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "codes/exact.h"
#include "index/builder.h"
#include "index/findable.h"
#include "index/freeze.h"
#include "index/head.h"
#include "index/vector_set.h"

namespace {

using namespace lamina;

constexpr uint32_t kNearest = 10;
constexpr int kThreads = 2;

struct Matrix {
  size_t rows = 0;
  size_t columns = 0;
  std::vector<float> values;
};

// The first `most` rows of a NumPy file of float16 or float32.
Matrix load(const std::string& path, size_t most) {
  std::ifstream file(path, std::ios::binary);
  char magic[10];
  uint16_t length = 0;
  if (!file.read(magic, sizeof magic)) throw std::runtime_error("cannot read " + path);
  std::memcpy(&length, magic + 8, 2);
  std::string header(length, ' ');
  file.read(header.data(), length);
  const size_t shape = header.find("'shape': (");
  const size_t comma = header.find(',', shape + 10);
  if (shape == std::string::npos || header.find("True") != std::string::npos) {
    throw std::runtime_error(path + " is not a row-major array");
  }
  Matrix matrix;
  matrix.rows = std::min<size_t>(most, std::stoul(header.substr(shape + 10)));
  matrix.columns = std::stoul(header.substr(comma + 1));
  matrix.values.resize(matrix.rows * matrix.columns);
  VectorSpec stored;
  stored.dim = static_cast<uint32_t>(matrix.columns);
  stored.dtype = header.find("f2") == std::string::npos ? DType::kF32 : DType::kF16;
  std::vector<std::byte> row(stored.vector_bytes());
  for (size_t i = 0; i < matrix.rows; ++i) {
    file.read(reinterpret_cast<char*>(row.data()), static_cast<std::streamsize>(row.size()));
    load_vector(stored, row.data(), matrix.values.data() + i * matrix.columns);
  }
  if (!file) throw std::runtime_error(path + " is shorter than it says");
  return matrix;
}

double cpu_seconds() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

std::shared_ptr<HeadRows> rows_of(const VectorSpec& spec, const Matrix& vectors) {
  auto rows = std::make_shared<HeadRows>(spec);
  std::vector<uint64_t> rids(vectors.rows);
  std::iota(rids.begin(), rids.end(), uint64_t{0});
  rows->append({.count = vectors.rows, .vectors = vectors.values.data(), .rids = rids.data()}, kThreads);
  return rows;
}

std::shared_ptr<HeadGraph> unlinked(const VectorSpec& spec, const std::shared_ptr<HeadRows>& rows) {
  auto graph = std::make_shared<HeadGraph>(spec, rows, train_codes(spec, *rows, rows->size()));
  graph->encode(rows->size(), kThreads);
  return graph;
}

std::shared_ptr<const Part> sealed(const VectorSpec& spec, const HeadRows& rows, const HeadGraph& graph) {
  const std::vector<uint32_t> order = walk_order(graph);
  const Frozen frozen = freeze(spec, rows, &graph, order, kThreads);
  mend(spec, *frozen.part, suspects(*frozen.part, order, 0), frozen.level0, kThreads);
  return frozen.part;
}

std::shared_ptr<const Part> cold(const VectorSpec& spec, const std::shared_ptr<HeadRows>& rows) {
  const auto graph = unlinked(spec, rows);
  link_rows(*graph, kThreads);
  refine_rows(*graph, walk_order(*graph), kThreads);
  return sealed(spec, *rows, *graph);
}

// In the order of the old part, in which neighbours lie together; the number of a row is its rid.
std::shared_ptr<const Part> joined(const VectorSpec& spec, const std::shared_ptr<HeadRows>& rows, const Part& old,
                                   bool grafted) {
  const auto graph = unlinked(spec, rows);
  std::vector<uint32_t> order(old.rows);
  std::vector<uint32_t> place(old.rows);
  for (uint32_t row = 0; row < old.rows; ++row) {
    order[row] = static_cast<uint32_t>(old.rids[row]);
    place[order[row]] = row;
  }
  join_rows(*graph, order, kThreads, [&](uint32_t row) {
    std::vector<uint32_t> nearby;
    const uint32_t* const list = old.graph.level0 + size_t{place[row]} * old.graph.degree;
    for (size_t slot = 0; grafted && slot < old.graph.degree && list[slot] != kNoRow; ++slot) {
      nearby.push_back(order[list[slot]]);
    }
    return nearby;
  });
  return sealed(spec, *rows, *graph);
}

View view_of(const VectorSpec& spec, std::shared_ptr<const Part> part) {
  View view;
  view.spec = spec;
  view.live = part->rows;
  view.parts.push_back({part, Bitmap(part->rows)});
  return view;
}

std::vector<Hit> answers(const View& view, const Matrix& queries, const SearchOptions& options) {
  std::vector<Hit> hits(queries.rows * options.k);
  std::vector<uint32_t> counts(queries.rows);
  view.search_batch(queries.values.data(), queries.rows, options, kThreads, hits.data(), counts.data());
  return hits;
}

double recall(const std::vector<Hit>& found, const std::vector<Hit>& exact) {
  size_t right = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    const size_t last = i / kNearest * kNearest + kNearest - 1;
    right += found[i].distance <= exact[last].distance + 1e-6F;
  }
  return static_cast<double>(right) / static_cast<double>(found.size());
}

VectorSpec spec_of(const Matrix& vectors) {
  VectorSpec spec;
  spec.dim = static_cast<uint32_t>(vectors.columns);
  return spec;
}

void compare(const std::string& folder, const std::string& from, const std::string& to, size_t most, int rounds) {
  const Matrix before = load(folder + "/" + from + ".npy", most);
  const Matrix after = load(folder + "/" + to + ".npy", most);
  const Matrix queries = load(folder + "/queries" + to.substr(to.find('_')) + ".npy", 1000);
  const VectorSpec spec = spec_of(after);
  const auto old = cold(spec_of(before), rows_of(spec_of(before), before));
  const auto rows = rows_of(spec, after);
  std::vector<Hit> exact;
  for (int round = 0; round < rounds; ++round) {
    const std::pair<const char*, std::function<std::shared_ptr<const Part>()>> ways[] = {
        {"cold", [&] { return cold(spec, rows); }},
        {"cold, joined", [&] { return joined(spec, rows, *old, false); }},
        {"grafted", [&] { return joined(spec, rows, *old, true); }},
    };
    for (const auto& way : ways) {
      const double began = cpu_seconds();
      const View view = view_of(spec, way.second());
      std::printf("%-14s %6.2f s of CPU;", way.first, cpu_seconds() - began);
      if (exact.empty()) exact = answers(view, queries, {.k = kNearest, .exact = true});
      for (const uint32_t ef : {16U, 24U, 32U, 64U, 100U}) {
        std::printf("  ef %u: %.4f", ef, recall(answers(view, queries, {.k = kNearest, .ef = ef}), exact));
      }
      std::printf("\n");
    }
  }
}

}  // namespace

int main(int count, char** words) {
  try {
    if (count < 4) throw std::runtime_error("usage: graft FOLDER FROM TO [ROWS [ROUNDS]]");
    compare(words[1], words[2], words[3], count > 4 ? std::stoul(words[4]) : 50'000,
            count > 5 ? std::stoi(words[5]) : 3);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
