// Goal: a CPU gets the tables that it can run and no others, and LAMINA_ISA forces one of them or is refused in words.
// Method: invented CPUs through the two steps of the registry; child processes for the environment variable.
#include "kernels/registry.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace lamina {
namespace {

std::vector<std::string> names(const std::vector<Kernels>& tables) {
  std::vector<std::string> names;
  for (const Kernels& table : tables) names.emplace_back(table.name);
  return names;
}

TEST(RegistryTest, AnyCpuRunsTheBaseline) { EXPECT_EQ(names(tables_for({})), std::vector<std::string>{"baseline"}); }

#if defined(__x86_64__)
TEST(RegistryTest, TablesFollowTheCpu) {
  EXPECT_EQ(names(tables_for({.avx2 = true})), (std::vector<std::string>{"baseline", "avx2"}));
  EXPECT_EQ(names(tables_for({.avx2 = true, .avx512 = true})),
            (std::vector<std::string>{"baseline", "avx2", "avx512"}));
}

TEST(RegistryTest, NewerInstructionsReplaceOnlyTheirKernels) {
  const CpuFeatures plain = {.avx2 = true, .avx512 = true};
  CpuFeatures newer = plain;
  newer.avx_vnni = newer.avx512_vnni = newer.avx512_vpopcntdq = true;
  const std::vector<Kernels> before = tables_for(plain), after = tables_for(newer);
  for (size_t i : {1, 2}) {
    EXPECT_NE(before[i].ip_i8_x4, after[i].ip_i8_x4);
    EXPECT_NE(before[i].l2_i8, after[i].l2_i8);
    EXPECT_EQ(before[i].l2_f32_x4, after[i].l2_f32_x4);
    EXPECT_EQ(before[i].hamming == after[i].hamming, i == 1);
  }
}

TEST(RegistryTest, TheNamedTableIsChosenAndTheLastByDefault) {
  const std::vector<Kernels> tables = tables_for({.avx2 = true, .avx512 = true});
  EXPECT_STREQ(choose(tables, nullptr).name, "avx512");
  EXPECT_STREQ(choose(tables, "").name, "avx512");
  for (const Kernels& table : tables) EXPECT_EQ(&choose(tables, table.name), &table);
}

TEST(RegistryTest, WhatTheCpuLacksIsRefusedWithWhatItHas) {
  try {
    choose(tables_for({.avx2 = true}), "avx512");
    FAIL() << "avx512 was accepted";
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("LAMINA_ISA=avx512"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("baseline, avx2"), std::string::npos) << error.what();
  }
}
#endif

TEST(RegistryTest, UnknownNamesAreRefused) {
  for (const char* name : {"AVX2", "sse", "avx5122", " "}) {
    EXPECT_THROW(choose(tables_for(cpu_features()), name), std::invalid_argument) << name;
  }
}

// A process of its own, because the choice is made once.
TEST(RegistryDeathTest, TheEnvironmentForcesEachTable) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  for (const Kernels* table : available_kernels()) {
    const auto obeys = [table] {
      setenv("LAMINA_ISA", table->name, 1);
      std::_Exit(&kernels() == table ? 0 : 1);
    };
    EXPECT_EXIT(obeys(), testing::ExitedWithCode(0), "") << table->name;
  }
}

TEST(RegistryDeathTest, TheEnvironmentIsRefusedEachTime) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto refuses = [] {
    setenv("LAMINA_ISA", "quantum", 1);
    int refused = 0;
    for (int i = 0; i < 2; ++i) {
      try {
        kernels();
      } catch (const std::invalid_argument&) {
        ++refused;
      }
    }
    std::_Exit(refused == 2 ? 0 : 1);
  };
  EXPECT_EXIT(refuses(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace lamina
