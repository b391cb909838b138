// Space set aside on the disk, in RESERVE, for what must work when the disk is full: deleting, dropping, closing.
#pragma once

#include "io/file.h"
#include "store/paths.h"

namespace lamina {

// One thread at a time.
class Reserve {
 public:
  Reserve(FileSystem& fs, const StorePaths& paths) : fs_(fs), paths_(paths) {}

  // Sets the space aside, if it is not and there is plenty more. A failure counts for nothing.
  void make();
  bool give_up();  // false: there was none

 private:
  FileSystem& fs_;
  const StorePaths& paths_;
  bool there_ = false;  // as far as is known
};

}  // namespace lamina
