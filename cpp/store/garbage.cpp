#include "store/garbage.h"

#include "base/mutant.h"

namespace lamina {
namespace {

std::vector<uint64_t> numbers_in(const Manifest& manifest) {
  std::vector<uint64_t> numbers;
  const auto add = [&](const std::vector<SegmentRef>& segments) {
    for (const SegmentRef& segment : segments) {
      numbers.push_back(segment.file.number);
      if (segment.deleted) numbers.push_back(segment.deleted->number);
    }
  };
  add(manifest.records);
  for (const Generation& generation : manifest.generations) add(generation.segments);
  return numbers;
}

}  // namespace

std::set<uint64_t> Garbage::named_by(const Root& root) {
  std::set<uint64_t> named = {root.log.number};
  for (const Root::Collection& collection : root.collections) {
    const uint64_t number = collection.manifest.number;
    auto known = of_manifest_.find(number);
    if (known == of_manifest_.end()) {
      known = of_manifest_.emplace(number, numbers_in(files_.manifest(collection.manifest))).first;
    }
    named.insert(number);
    named.insert(known->second.begin(), known->second.end());
  }
  return named;
}

uint64_t Garbage::sweep(const Root& newest, const std::set<uint64_t>& unsettled) {
  std::set<uint64_t> named = named_by(newest);
  if (!is_off("spare files that a root will name")) named.insert(unsettled.begin(), unsettled.end());
  for (const uint64_t seq : roots_.remove_before(newest.seq)) {
    if (const auto held = roots_.read(seq)) named.merge(named_by(held->root));
  }
  std::erase_if(of_manifest_, [&](const auto& entry) { return !named.contains(entry.first); });
  const std::vector<std::string> unneeded = unnamed(named);
  for (const std::string& path : unneeded) files_.fs().remove(path);
  return unneeded.size();
}

uint64_t Garbage::sweep_scratch() {
  const std::string& scratch = files_.paths().scratch;
  const std::vector<std::string> names = files_.fs().list(scratch);
  for (const std::string& name : names) files_.fs().remove(join(scratch, name));
  return names.size();
}

std::vector<std::string> Garbage::unnamed(const std::set<uint64_t>& named) const {
  std::vector<std::string> paths;
  for (const std::string& name : files_.fs().list(files_.paths().logs)) {
    const auto number = number_in_name(name, kLogFile);
    if (number && !named.contains(*number)) paths.push_back(join(files_.paths().logs, name));
  }
  for (const std::string& name : files_.fs().list(files_.paths().files)) {
    const auto number = number_of_file(name);
    if (number && !named.contains(*number)) paths.push_back(join(files_.paths().files, name));
  }
  return paths;
}

}  // namespace lamina
