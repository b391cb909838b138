#include "store/log.h"

#include <algorithm>

#include "base/error.h"

namespace lamina {

LogScan scan_log(Bytes log, const LogHeader& header, uint64_t start, uint64_t limit) {
  LogScan scan;
  scan.end = start;
  scan.witness = encode_log_header(header).crc;
  const Bytes readable = log.first(std::min<uint64_t>(limit, log.size()));
  while (const auto frame = parse_frame(readable, header, scan.end)) {
    scan.end = frame->end;
    scan.witness = frame->header_crc;
    scan.frames.push_back(*frame);
  }
  return scan;
}

uint64_t judge_tail(Bytes log, const LogHeader& header, const std::string& file, const LogScan& scan,
                    const DurableProof& proof) {
  const auto damaged = [&](const std::string& expected) {
    throw CorruptionError(file, scan.end, expected, "no whole frame at this place");
  };
  if (scan.end < proof.position) damaged("frames up to offset " + std::to_string(proof.position));
  if (scan.version(proof.root_version) < proof.version) {
    damaged("the frames up to version " + std::to_string(proof.version));
  }
  for (auto later = find_frame(log, header, scan.end); later; later = find_frame(log, header, later->end)) {
    if (later->durable > scan.end)
      damaged("a frame, since one at offset " + std::to_string(later->offset) + " follows");
  }
  return log.size() - scan.end;
}

Log::Log(FileSystem& fs, const LogHeader& header, std::unique_ptr<WritableFile> file, End end)
    : fs_(fs), header_(header), file_(std::move(file)), end_(end), before_last_(end), durable_(end.position) {}

std::unique_ptr<Log> Log::create(FileSystem& fs, const StorePaths& paths, const LogHeader& header) {
  const std::string path = paths.log_file(header.number);
  std::unique_ptr<WritableFile> file = fs.create(path);
  try {
    const EncodedLogHeader encoded = encode_log_header(header);
    file->append(encoded.bytes);
    file->sync();
    fs.sync_directory(paths.logs);
    return std::unique_ptr<Log>(new Log(fs, header, std::move(file), {kLogHeaderBytes, encoded.crc}));
  } catch (...) {
    try {
      fs.remove(path);
    } catch (const Error&) {  // no root names it: the next open sweeps it
    }
    throw;
  }
}

std::unique_ptr<Log> Log::reopen(FileSystem& fs, const StorePaths& paths, const LogHeader& header,
                                 const LogScan& scan) {
  std::unique_ptr<WritableFile> file = fs.open_append(paths.log_file(header.number), scan.end);
  return std::unique_ptr<Log>(new Log(fs, header, std::move(file), {scan.end, scan.witness}));
}

void Log::append(uint64_t version, int64_t time_us, Bytes operations) {
  LogFrame frame;
  frame.offset = end_.position;
  frame.version = version;
  frame.time_us = time_us;
  frame.durable = durable_;
  frame.timeline = header_.timeline;
  frame.payload = operations;
  const std::vector<std::byte> bytes = encode_frame(header_, frame);
  before_last_ = end_;
  try {
    file_->append(bytes);
  } catch (...) {
    take_back();
    throw;
  }
  end_ = {frame.end, frame.header_crc};
}

void Log::take_back() {
  broken_ = true;  // until all of it is done
  const std::string path = file_->path();
  end_ = before_last_;
  try {
    file_ = fs_.open_append(path, end_.position);
    file_->sync();
  } catch (const Error&) {  // the caller has a better error in hand, and asks broken()
    return;
  }
  durable_ = end_.position;
  broken_ = false;
}

void Log::sync() {
  if (durable_ == end_.position) return;
  file_->sync();
  durable_ = end_.position;
}

}  // namespace lamina
