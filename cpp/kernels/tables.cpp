#include "kernels/tables.h"

namespace lamina {

void replace(Kernels* table, const CodeKernels& with) {
  table->l2_i8 = with.l2_i8;
  table->ip_i8 = with.ip_i8;
  table->l2_i8_x4 = with.l2_i8_x4;
  table->ip_i8_x4 = with.ip_i8_x4;
  table->l2_i4_x4 = with.l2_i4_x4;
  table->ip_i4_x4 = with.ip_i4_x4;
}

void replace(Kernels* table, const HammingKernels& with) {
  table->hamming = with.hamming;
  table->hamming_x4 = with.hamming_x4;
}

}  // namespace lamina
