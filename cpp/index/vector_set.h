// The one engine: sealed parts + at most one growing head + deletion bits. `lamina.Index` is a VectorSet without log
// and records; a generation of a store is a VectorSet behind the log.
//
// Writers: one at a time (the caller serialises); a call may use several threads inside. Readers: any number, at any
// time, on an immutable `View`, with no lock and without waiting for the writer.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "base/bitmap.h"
#include "codes/metric.h"
#include "index/part.h"

namespace lamina {

class Head;

struct Hit {
  float distance;  // recomputed on the stored vectors
  uint64_t rid;
  int64_t id;  // the integer id, or 0 where ids are strings
};

// Which of two rows at the same distance comes first. Asked only on ties.
struct TieOrder {
  virtual ~TieOrder() = default;
  virtual bool before(uint64_t rid_a, uint64_t rid_b) const = 0;
};

// One step of a search: what was done in one part, or in the head. A step that did not find enough has another after
// it.
struct SearchStep {
  enum class Method : uint8_t {
    kScan,         // every row that may be returned, on stored vectors
    kScanCodes,    // the same on codes; the nearest again on stored vectors
    kWalk,         // the graph, all rows alike; those that may not be returned are dropped
    kWalkPassing,  // the graph, stepping over rows that may not be returned
  };
  Method method;
  uint32_t part;  // the number of parts for the head
  uint32_t rows;
  uint64_t passing;   // rows that may be returned
  uint32_t breadth;   // 0 for a scan
  uint64_t measured;  // rows that were compared with the query
  int64_t nanoseconds;
};

struct SearchOptions {
  uint32_t k = 10;
  uint32_t ef = 0;  // breadth; 0: whatever each part measured for `recall`
  float recall = 0.95F;
  bool exact = false;
  float radius = std::numeric_limits<float>::infinity();  // no hit is farther
  const TieOrder* ties = nullptr;                         // null: by integer id, which stands in Hit::id
  std::vector<SearchStep>* steps = nullptr;               // each step of a single search is added; null: not told
};

// One consistent state. Immutable, cheap to hold; keeps its parts alive. A filter makes a narrower one: rows that do
// not pass are deleted in it.
struct View {
  struct SealedPart {
    std::shared_ptr<const Part> part;
    Bitmap deleted;
  };
  VectorSpec spec;
  std::vector<SealedPart> parts;
  std::shared_ptr<const Head> head;  // null: none
  uint32_t head_rows = 0;            // rows of the head that this view sees
  Bitmap head_deleted;
  uint64_t live = 0;  // rows neither deleted nor unseen

  struct RowRef {
    uint32_t part;  // index into `parts`; parts.size() for the head
    uint32_t row;
  };

  // The k nearest live rows, ascending by (distance, tie order); fewer only when fewer live within the radius. `query`
  // is dim float32 (dim/8 bytes for kHamming), finite. Writes at most k hits to `out`, returns how many. Allocates
  // nothing after the first call of a thread. Throws CorruptionError.
  size_t search(const void* query, const SearchOptions& options, Hit* out) const;
  // `queries` rows of query bytes back to back; hits of query i start at out + i*k. threads 0: all of the machine.
  void search_batch(const void* queries, size_t count, const SearchOptions& options, int threads, Hit* out,
                    uint32_t* counts) const;

  bool find(uint64_t rid, RowRef* where) const;        // the live row of a rid
  void vector_at(RowRef where, std::byte* out) const;  // vector_bytes(), checked
  Provenance provenance_at(RowRef where) const;
  void for_each_live(const std::function<void(RowRef, uint64_t rid)>& visit) const;
  // CorruptionError if what was read of a part may not be believed: see Part::Guard. All of the above call it.
  void require_whole() const;
};

// Rows being handed over. `vectors` are row-major float32 (packed bits for kHamming), finite.
struct NewRows {
  size_t count = 0;
  const void* vectors = nullptr;
  const uint64_t* rids = nullptr;
  const int64_t* ids = nullptr;            // null: 0
  const Provenance* provenance = nullptr;  // null: empty
};

enum class RowOrder : uint8_t {
  kByNearness,  // as a walk of the graph comes to them
  kAsTheyAre,
};

class VectorSet {
 public:
  explicit VectorSet(const VectorSpec& spec);
  VectorSet(const VectorSpec& spec, std::vector<View::SealedPart> parts);  // as opened from files
  ~VectorSet();

  const VectorSpec& spec() const;
  std::shared_ptr<const View> view() const;  // the newest; any thread

  // Appends rows to the head and links them into its graph. A row whose rid is live replaces it (the older row is
  // marked dead) in the same view. A failure (memory) leaves the view as it was.
  void add(const NewRows& rows, int threads);
  // Marks the live rows of these rids dead; unknown ones are ignored. Returns how many there were.
  size_t erase(std::span<const uint64_t> rids);

  // The head as a part in this process's memory: the graph that is there, dead rows included; null if there is none.
  // Rows keep their numbers, so View::head_deleted is the part's bitmap.
  std::shared_ptr<const Part> freeze_head(int threads) const;
  // The head has become `sealed` (the same rows, now in a file): it takes its place in the next view. Rows added since
  // they were frozen move to a new head.
  void replace_head(std::shared_ptr<const Part> sealed);
  // `same` has the rows of the part `held`, in their order, somewhere else: it takes its place.
  void replace_part(const Part& held, std::shared_ptr<const Part> same);
  // Each takes the place of its `original`, where that is still there. False: none was.
  bool place_copies(std::span<const std::shared_ptr<const Part>> copies);
  // A new part of the live rows of `view`'s sealed parts and head, built afresh: ordered, every row findable, measured.
  static std::shared_ptr<const Part> rebuild(const View& view, int threads, RowOrder order = RowOrder::kByNearness);
  // The same from the graph of the largest part: its dead rows' neighbours take each other in, and all other rows join
  // it. The work follows what has died and what joins.
  static std::shared_ptr<const Part> merge(const View& view, int threads);
  // `merged` holds the rows that were live in `before`; what was deleted or replaced since is marked dead in it, and
  // what was added since stays where it is. It takes the place of the first of its parts. REQUIRES: the parts of
  // `before`, or copies of them, are all still there; no head was sealed since, if `before` has one.
  void replace_parts(const View& before, std::shared_ptr<const Part> merged);
  // The rows of `merged` that were live in `before` and are not now.
  Bitmap died_since(const View& before, const Part& merged) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lamina
