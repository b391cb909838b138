#include "store/catalog.h"

#include <mutex>
#include <set>

#include "base/error.h"

namespace lamina {

std::shared_ptr<Collection> Catalog::find(const std::string& name) const { return state(name)->handle; }

std::shared_ptr<CollectionState> Catalog::state(const std::string& name) const {
  const std::shared_lock lock(mutex_);
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) throw NotFoundError("there is no collection '" + name + "'");
  return found->second;
}

bool Catalog::contains(const std::string& name) const {
  const std::shared_lock lock(mutex_);
  return by_name_.contains(name);
}

std::vector<std::string> Catalog::names() const {
  const std::shared_lock lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, collection] : by_name_) names.push_back(name);
  return names;
}

std::vector<std::shared_ptr<CollectionHandle>> Catalog::handles() const {
  const std::shared_lock lock(mutex_);
  std::vector<std::shared_ptr<CollectionHandle>> handles;
  for (const auto& [name, collection] : by_name_) handles.push_back(collection->handle);
  return handles;
}

void Catalog::set(const Collections& collections) {
  std::map<std::string, std::shared_ptr<CollectionState>> next;
  std::set<std::shared_ptr<CollectionHandle>> there;
  for (const auto& [id, collection] : collections) {
    next.emplace(collection->name(), collection);
    there.insert(collection->handle);
  }
  const std::unique_lock lock(mutex_);
  by_name_.swap(next);
  for (const auto& [name, collection] : next) {
    if (!there.contains(collection->handle)) collection->handle->drop();
  }
}

void Catalog::add(const std::shared_ptr<CollectionState>& collection) {
  const std::unique_lock lock(mutex_);
  by_name_.emplace(collection->name(), collection);
}

void Catalog::close() {
  for (const auto& handle : handles()) handle->close();
}

}  // namespace lamina
