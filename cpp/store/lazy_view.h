// The vectors of a snapshot: a view, or how to make it once somebody looks at a vector.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

#include "index/vector_set.h"

namespace lamina {

// Immutable to who reads it; copies share the view. Any thread. No lock, which a forked child could find held: threads
// that come first at once may each make the view, and one of them is kept.
class LazyView {
 public:
  using Make = std::function<std::unique_ptr<const View>()>;

  LazyView() = default;
  LazyView(std::shared_ptr<const View> view) : view_(std::move(view)) {}
  explicit LazyView(Make make) : late_(std::make_shared<Late>(std::move(make))) {}

  bool is_made() const { return late_ == nullptr || late_->made.load(std::memory_order_acquire) != nullptr; }
  // Make it if need be, and throw what that throws: the next call tries again.
  const View& operator*() const { return late_ == nullptr ? *view_ : late_->get(); }
  const View* operator->() const { return &**this; }

 private:
  struct Late {
    explicit Late(Make how) : make(std::move(how)) {}
    ~Late() { delete made.load(std::memory_order_relaxed); }
    const View& get();

    const Make make;
    std::atomic<const View*> made = nullptr;
  };

  std::shared_ptr<const View> view_;  // null where there is a `late_`
  std::shared_ptr<Late> late_;
};

}  // namespace lamina
