// Goal: a CPU gets the tables that it can run and no others, and LAMINA_ISA forces one of them or is refused in words.
// Method: invented CPUs through the two steps of the registry; child processes for the environment variable.
#include "kernels/registry.h"

#include <gtest/gtest.h>

#include <algorithm>
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

#if defined(__x86_64__) || defined(__aarch64__)
#ifdef __x86_64__
const CpuFeatures kOld = {.avx2 = true};
const CpuFeatures kPlain = {.avx2 = true, .avx512 = true};
const CpuFeatures kNewest = {
    .avx2 = true, .avx_vnni = true, .avx512 = true, .avx512_vnni = true, .avx512_vpopcntdq = true};
const std::vector<std::string> kOldNames = {"baseline", "avx2"}, kNames = {"baseline", "avx2", "avx512"};
const std::vector<std::string> kCountBitsFaster = {"avx512"};
#else
const CpuFeatures kOld = {};
const CpuFeatures kPlain = {.neon = true};
const CpuFeatures kNewest = {.neon = true, .neon_dot = true};
const std::vector<std::string> kOldNames = {"baseline"}, kNames = {"baseline", "neon"};
const std::vector<std::string> kCountBitsFaster = {};
#endif

TEST(RegistryTest, TablesFollowTheCpu) {
  EXPECT_EQ(names(tables_for(kOld)), kOldNames);
  EXPECT_EQ(names(tables_for(kPlain)), kNames);
}

TEST(RegistryTest, NewerInstructionsReplaceOnlyTheirKernels) {
  const std::vector<Kernels> before = tables_for(kPlain), after = tables_for(kNewest);
  ASSERT_EQ(names(after), kNames);
  for (size_t i = 1; i < after.size(); ++i) {
    EXPECT_NE(before[i].ip_i8_x4, after[i].ip_i8_x4);
    EXPECT_NE(before[i].l2_i8, after[i].l2_i8);
    EXPECT_EQ(before[i].l2_f32_x4, after[i].l2_f32_x4);
    const bool faster = std::count(kCountBitsFaster.begin(), kCountBitsFaster.end(), after[i].name) != 0;
    EXPECT_EQ(before[i].hamming != after[i].hamming, faster) << after[i].name;
  }
}

TEST(RegistryTest, TheNamedTableIsChosenAndTheLastByDefault) {
  const std::vector<Kernels> tables = tables_for(kPlain);
  EXPECT_EQ(choose(tables, nullptr).name, kNames.back());
  EXPECT_EQ(choose(tables, "").name, kNames.back());
  for (const Kernels& table : tables) EXPECT_EQ(&choose(tables, table.name), &table);
}

TEST(RegistryTest, WhatTheCpuLacksIsRefusedWithWhatItHas) {
  try {
    choose(tables_for(kOld), kNames.back().c_str());
    FAIL() << kNames.back() << " was accepted";
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("LAMINA_ISA=" + kNames.back()), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find(kOldNames.back() + " ("), std::string::npos) << error.what();
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
