// The collections of a store as its users see them: by name, acknowledged, never waiting for a writer. Any thread.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <shared_mutex>
#include <string>
#include <vector>

#include "store/collection_state.h"

namespace lamina {

class Catalog {
 public:
  std::shared_ptr<Collection> find(const std::string& name) const;        // NotFoundError
  std::shared_ptr<CollectionState> state(const std::string& name) const;  // NotFoundError; for its one thread
  bool contains(const std::string& name) const;
  std::vector<std::string> names() const;
  std::vector<std::shared_ptr<CollectionHandle>> handles() const;
  uint64_t version() const { return version_.load(); }

  void set_version(uint64_t version) { version_.store(version); }
  // The collections are now these; handles of those that are gone are marked as dropped.
  void set(const Collections& collections);
  void add(const std::shared_ptr<CollectionState>& collection);
  void close();  // what is not opened by now never will be

 private:
  mutable std::shared_mutex mutex_;
  std::map<std::string, std::shared_ptr<CollectionState>> by_name_;
  std::atomic<uint64_t> version_ = 0;
};

}  // namespace lamina
