// The log: appending whole frames, and finding out where it ends.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "io/file.h"
#include "segment/log_format.h"
#include "store/paths.h"

namespace lamina {

// The frames of a log that are whole, one behind the other. `frames` view the log's bytes.
struct LogScan {
  std::vector<LogFrame> frames;
  uint64_t end = 0;      // where the last of them ends
  uint32_t witness = 0;  // of that end: see LogWitness

  uint64_t version(uint64_t root_version) const {  // of the state that the frames lead to
    return frames.empty() ? root_version : std::max(root_version, frames.back().version);
  }
};

// Whole frames from `start` on, up to the first that does not check or that ends past `limit`.
LogScan scan_log(Bytes log, const LogHeader& header, uint64_t start, uint64_t limit);

// What is known to have been on the disk, from other places than the log itself.
struct DurableProof {
  uint64_t position = 0;
  uint64_t version = 0;       // there was a frame of it, if it is above the next
  uint64_t root_version = 0;  // what there is without any frame
};

// Behind `scan.end` the log does not check. Returns how many bytes to cut off there if its writer may have died while
// it wrote them; CorruptionError if they were once on the disk: `proof` says so, or a later frame that is whole does
// (its `durable` lies beyond). A later frame that does not is one of several which were never synced: a power cut may
// keep any of these.
uint64_t judge_tail(Bytes log, const LogHeader& header, const std::string& file, const LogScan& scan,
                    const DurableProof& proof);

// The end of a log, being appended to. One thread at a time.
class Log {
 public:
  // A new log without frames, durable. A failure leaves nothing that counts.
  static std::unique_ptr<Log> create(FileSystem& fs, const StorePaths& paths, const LogHeader& header);
  // Goes on at the end of a log in which every byte is known to be durable.
  static std::unique_ptr<Log> reopen(FileSystem& fs, const StorePaths& paths, const LogHeader& header,
                                     const LogScan& scan);

  // Appends one version. A failed write (a full disk) is taken back, and the log is then durable as it was before;
  // if that fails too the log is broken().
  void append(uint64_t version, int64_t time_us, Bytes operations);
  // Takes back what was appended last; the log is then durable.
  void take_back();
  void sync();  // after a failure, what is on the disk is unknown

  bool broken() const { return broken_; }
  const LogHeader& header() const { return header_; }
  uint64_t end() const { return end_.position; }
  uint64_t durable() const { return durable_; }
  uint32_t witness() const { return end_.witness; }

 private:
  struct End {
    uint64_t position;
    uint32_t witness;
  };
  Log(FileSystem& fs, const LogHeader& header, std::unique_ptr<WritableFile> file, End end);

  FileSystem& fs_;
  const LogHeader header_;
  std::unique_ptr<WritableFile> file_;
  End end_;
  End before_last_;
  uint64_t durable_;
  bool broken_ = false;
};

}  // namespace lamina
