#include "store/catalog.h"

#include <mutex>

#include "base/error.h"

namespace lamina {

std::shared_ptr<Collection> Catalog::find(const std::string& name) const {
  const std::shared_lock lock(mutex_);
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) throw NotFoundError("there is no collection '" + name + "'");
  return found->second;
}

std::vector<std::string> Catalog::names() const {
  const std::shared_lock lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, handle] : by_name_) names.push_back(name);
  return names;
}

std::vector<std::shared_ptr<CollectionHandle>> Catalog::handles() const {
  const std::shared_lock lock(mutex_);
  std::vector<std::shared_ptr<CollectionHandle>> handles;
  for (const auto& [name, handle] : by_name_) handles.push_back(handle);
  return handles;
}

void Catalog::set(const Collections& collections) {
  std::map<std::string, std::shared_ptr<CollectionHandle>> next;
  for (const auto& [id, collection] : collections) next.emplace(collection->name(), collection->handle);
  const std::unique_lock lock(mutex_);
  by_name_.swap(next);
  for (const auto& [name, handle] : next) {
    const auto still = by_name_.find(name);
    if (still == by_name_.end() || still->second != handle) handle->drop();
  }
}

}  // namespace lamina
