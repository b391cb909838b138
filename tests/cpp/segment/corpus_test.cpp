// Goal: what the fuzzers start from, and whatever they once found, is read without harm by every build. Method: each
// file of tests/fuzz/corpus goes through the fuzzer's own function; a seed must be a file of today's format.
// If seeds fail after a change of format: build the target make_corpus (LAMINA_FUZZING) and run it on
// tests/fuzz/corpus.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "../../fuzz/targets.h"

namespace lamina {
namespace {

std::vector<std::byte> content(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const Bytes bytes = as_bytes(text);
  return {bytes.begin(), bytes.end()};
}

void replay(const std::string& name, bool (*target)(Bytes)) {
  const auto corpus = std::filesystem::path("tests/fuzz/corpus") / name;
  int seeds = 0;
  for (const auto& entry : std::filesystem::directory_iterator(corpus)) {
    const bool seed = entry.path().filename().string().starts_with("seed-");
    const bool fine = target(content(entry.path()));
    if (!seed) continue;
    EXPECT_TRUE(fine) << entry.path();
    ++seeds;
  }
  EXPECT_GT(seeds, 0) << corpus;
}

TEST(Corpus, VectorSegments) { replay("vector_segment", fuzz::vectors); }
TEST(Corpus, RecordSegments) { replay("record_segment", fuzz::records); }
TEST(Corpus, Indexes) { replay("index", fuzz::index); }
TEST(Corpus, Bitmaps) { replay("bitmap", fuzz::bitmap); }
TEST(Corpus, Manifests) { replay("manifest", fuzz::manifest); }
TEST(Corpus, Roots) { replay("root", fuzz::root); }
TEST(Corpus, Logs) { replay("log", fuzz::log); }

}  // namespace
}  // namespace lamina
