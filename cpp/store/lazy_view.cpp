#include "store/lazy_view.h"

namespace lamina {

const View& LazyView::Late::get() {
  if (const View* view = made.load(std::memory_order_acquire)) return *view;
  std::unique_ptr<const View> fresh = make();
  const View* first = nullptr;
  if (made.compare_exchange_strong(first, fresh.get(), std::memory_order_acq_rel)) return *fresh.release();
  return *first;
}

}  // namespace lamina
