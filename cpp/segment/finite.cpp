#include "segment/finite.h"

namespace lamina {
namespace {

// An exponent of ones only is NaN or infinity. Looks at `Word`s of a kilobyte together, so that it vectorises.
template <class Word, Word kExponent>
size_t first_with_exponent(Bytes elements) {
  constexpr size_t kStep = 256;
  const size_t count = elements.size() / sizeof(Word);
  for (size_t first = 0; first < count; first += kStep) {
    const size_t last = first + kStep < count ? first + kStep : count;
    Word bad = 0;
    for (size_t i = first; i < last; ++i) {
      const auto word = load_le<Word>(elements.data() + i * sizeof(Word));
      bad = static_cast<Word>(bad | ((word & kExponent) == kExponent ? 1 : 0));
    }
    if (bad == 0) continue;
    for (size_t i = first; i < last; ++i) {
      if ((load_le<Word>(elements.data() + i * sizeof(Word)) & kExponent) == kExponent) return i;
    }
  }
  return kAllFinite;
}

}  // namespace

size_t first_not_finite(Bytes elements, DType dtype) {
  switch (dtype) {
    case DType::kF32: return first_with_exponent<uint32_t, 0x7f800000>(elements);
    case DType::kF16: return first_with_exponent<uint16_t, 0x7c00>(elements);
    case DType::kBits: break;
  }
  return kAllFinite;
}

}  // namespace lamina
