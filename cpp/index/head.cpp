#include "index/head.h"

namespace lamina {

std::shared_ptr<const Head> link_head(std::shared_ptr<const Head> head, int) { return head; }

}  // namespace lamina
