#include "store/files.h"

#include <algorithm>
#include <random>
#include <stdexcept>

#include "base/error.h"
#include "segment/bitmap_file.h"
#include "store/root_store.h"

namespace lamina {
namespace {

// What a shared segment is known by: a number is never used again in a store, but a damaged store may say so.
bool means_same(const SegmentFile& segment, const SegmentRef& ref, const FileRef& file) {
  return segment.header().id == ref.id && segment.size() == file.size && segment.header().rows == ref.rows;
}

void require_rows(const SegmentFile& file, const SegmentRef& ref) {
  if (file.header().rows == ref.rows) return;
  file.corrupt(48, std::to_string(ref.rows) + " rows", std::to_string(file.header().rows));
}

}  // namespace

std::vector<std::byte> OpenFiles::read(const std::string& path) const {
  if (!fs_.exists(path)) throw CorruptionError(path, 0, "a file", "none of this name");
  return read_whole(*fs_.open(path));
}

std::shared_ptr<const Mapping> OpenFiles::map(const std::string& path) const {
  if (!fs_.exists(path)) throw CorruptionError(path, 0, "a file", "none of this name");
  return fs_.map(path);
}

Budgeted OpenFiles::budgeted(const std::string& path) const {
  if (budget_ == nullptr) return {};
  return {budget_, fs_.open(path)};
}

Manifest OpenFiles::manifest(const FileRef& ref, bool* writable) const {
  const std::string path = paths_.file(ref.number, kManifestFile);
  const std::vector<std::byte> bytes = read(path);
  const Document document = open_document(bytes, path, DocumentKind::kManifest, ref, hasher_);
  if (writable != nullptr) *writable = document.writable;
  return decode_manifest(document, path);
}

Bitmap OpenFiles::deleted(const SegmentRef& segment) const {
  if (!segment.deleted) return Bitmap(segment.rows);
  const std::string path = paths_.file(segment.deleted->number, kBitmapFile);
  const std::vector<std::byte> bytes = read(path);
  const Document document = open_document(bytes, path, DocumentKind::kBitmap, *segment.deleted, hasher_);
  Bitmap deleted = decode_bitmap(document, path, segment.id, segment.rows);
  if (segment.rows - deleted.count() != segment.live) {
    throw CorruptionError(path, document.offset, std::to_string(segment.rows - segment.live) + " dead rows",
                          std::to_string(deleted.count()));
  }
  return deleted;
}

void OpenFiles::follow(const Root& root) {
  const std::lock_guard lock(mutex_);
  stand_ins_.clear();
  for (const Root::StandIn& one : root.stand_ins) stand_ins_[one.damaged] = one.file;
}

FileRef OpenFiles::current(const FileRef& segment) const {
  const std::lock_guard lock(mutex_);
  const auto stand_in = stand_ins_.find(segment.number);
  return stand_in == stand_ins_.end() ? segment : stand_in->second;
}

std::shared_ptr<const SealedRecords> OpenFiles::records(const SegmentRef& ref, IdKind id_kind) {
  const FileRef file = current(ref.file);
  const std::lock_guard lock(mutex_);
  if (auto known = records_[file.number].lock(); known && means_same((*known)->file(), ref, file)) return known;
  const std::string path = paths_.file(file.number, kRecordFile);
  const auto segment = open_record_segment(map(path), file, ref.id, hasher_, budgeted(path));
  require_rows(segment->file(), ref);
  if (segment->id_kind() != id_kind) segment->file().corrupt(26, "the collection's kind of id", "the other");
  auto sealed = std::make_shared<const SealedRecords>(segment);
  records_[file.number] = sealed;
  return sealed;
}

std::shared_ptr<const VectorSegment> OpenFiles::vectors(const SegmentRef& ref, const Generation& generation) {
  const FileRef file = current(ref.file);
  const std::lock_guard lock(mutex_);
  if (auto known = vectors_[file.number].lock(); known && means_same(known->file(), ref, file)) return known;
  const VectorSegmentInfo info{ref.id, generation.fingerprint, generation.spec};
  const std::string path = paths_.file(file.number, kVectorFile);
  auto segment = open_vector_segment(map(path), file, info, hasher_, budgeted(path));
  require_rows(segment->file(), ref);
  vectors_[file.number] = segment;
  return segment;
}

std::shared_ptr<MemoryBudget> make_budget(std::optional<uint64_t> bytes) {
  return bytes ? std::make_shared<MemoryBudget>(*bytes) : nullptr;
}

void refuse_budget(const OpenFiles& files) {
  if (files.budget() == nullptr) return;
  throw std::invalid_argument("this store was opened with memory=" + std::to_string(files.budget()->bytes()) +
                              ", which bounds what of its files is kept: nothing is copied to huge pages beside that");
}

uint64_t FileNumbers::take() {
  const std::lock_guard lock(mutex_);
  unsettled_.insert(next_);
  return next_++;
}

void FileNumbers::settle(const std::vector<uint64_t>& numbers) {
  const std::lock_guard lock(mutex_);
  for (const uint64_t number : numbers) unsettled_.erase(number);
}

void FileNumbers::at_least(uint64_t next) {
  const std::lock_guard lock(mutex_);
  next_ = std::max(next_, next);
}

uint64_t FileNumbers::next() const {
  const std::lock_guard lock(mutex_);
  return next_;
}

std::set<uint64_t> FileNumbers::unsettled() const {
  const std::lock_guard lock(mutex_);
  return unsettled_;
}

SegmentId random_segment_id() {
  std::random_device device;
  SegmentId id;
  for (size_t i = 0; i < id.size(); i += 4) store_le(id.data() + i, static_cast<uint32_t>(device()));
  return id;
}

NewFiles::~NewFiles() {
  for (const std::string& path : paths_) {
    if (kept_) break;
    try {
      files_.fs().remove(path);
    } catch (const Error&) {  // no root names it: swept later
    }
  }
  numbers_.settle(taken_);
}

uint64_t NewFiles::take_number() {
  taken_.push_back(numbers_.take());
  return taken_.back();
}

uint64_t NewFiles::add_log() {
  const uint64_t number = take_number();
  paths_.push_back(files_.paths().log_file(number));
  return number;
}

FileRef NewFiles::add(std::string_view extension, const std::function<FileRef(Publication&)>& write) {
  const uint64_t number = take_number();
  const std::string name = numbered_name(number, extension);
  Publication out(files_.fs(), files_.paths().scratch, name);
  FileRef ref = write(out);
  ref.number = number;
  paths_.push_back(join(files_.paths().files, name));
  out.commit(files_.paths().files, name);
  return ref;
}

FileRef NewFiles::add_document(std::string_view extension, Bytes document) {
  return add(extension, [&](Publication& out) {
    out.append(document);
    return FileRef{0, document.size(), files_.hasher().digest(document)};
  });
}

}  // namespace lamina
