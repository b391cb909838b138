// Writes the seeds of all fuzzers: make_corpus DIRECTORY, usually tests/fuzz/corpus. To be run after a change of
// format; tests/cpp/segment/corpus_test.cpp tells when.
#include <filesystem>
#include <fstream>
#include <functional>

#include "../cpp/segment/sample.h"
#include "packed.h"

namespace lamina {
namespace {

void write_seed(const std::filesystem::path& directory, const std::string& name, Bytes bytes) {
  std::filesystem::create_directories(directory);
  std::ofstream(directory / ("seed-" + name), std::ios::binary) << as_text(bytes);
}

void write_segments(const std::filesystem::path& corpus, const std::string& scratch) {
  FileSystem& fs = FileSystem::posix();
  const auto f16 = sample::part(16, 24, true);
  f16->spec.dtype = DType::kF16;
  f16->vectors.assign(f16->vectors.size(), 0.5F);
  f16->part.ids = nullptr;
  write_seed(corpus / "vector_segment", "hnsw", pack(sample::vector_segment(fs, scratch, *sample::part()).bytes));
  write_seed(corpus / "vector_segment", "flat",
             pack(sample::vector_segment(fs, scratch, *sample::part(5, 3, true)).bytes));
  write_seed(corpus / "vector_segment", "f16", pack(sample::vector_segment(fs, scratch, *f16).bytes));
  for (const auto& [name, kind] : {std::pair{"int", IdKind::kInt}, std::pair{"text", IdKind::kString}}) {
    write_seed(corpus / "record_segment", name,
               pack(sample::record_segment(fs, scratch, *sample::records(8, kind)).bytes));
  }
  for (const int parts : {0, 1, 2}) {
    write_seed(corpus / "index", std::to_string(parts), pack(sample::index_file(fs, scratch, parts)));
  }
}

void write_documents(const std::filesystem::path& corpus) {
  write_seed(corpus / "bitmap", "some", encode_bitmap(sample::bitmap(), sample::kVectorId));
  write_seed(corpus / "bitmap", "none", encode_bitmap(Bitmap(70'000), sample::kVectorId));
  write_seed(corpus / "manifest", "one", encode_manifest(sample::manifest()));
  write_seed(corpus / "manifest", "empty", encode_manifest({}));
  write_seed(corpus / "root", "one", encode_root(sample::root()));
  write_seed(corpus / "root", "empty", encode_root({}));
  write_seed(corpus / "log", "empty", sample::log(0));
  write_seed(corpus / "log", "two", sample::log(2));
}

}  // namespace
}  // namespace lamina

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::filesystem::path corpus = argv[1];
  std::filesystem::create_directories(corpus);
  lamina::write_segments(corpus, corpus.string());
  lamina::write_documents(corpus);
  return 0;
}
