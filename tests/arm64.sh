#!/usr/bin/env bash
# ARM64 on any processor: the C++ tests, cross-compiled by the preset arm64 and run by qemu-user: tests/arm64.sh [ROOM...]
#
# Debian: g++-aarch64-linux-gnu qemu-user googletest. The kernels run on a CPU with SDOT and on one without, the codes
# with each table that LAMINA_ISA may name. Sweeps take few samples, since qemu is slow. Left out for that are recall on
# large graphs, a count of syncs that depends on speed, and, unless it is named, the room store; and what qemu cannot do:
# to execute another ARM64 program, and to start threads in a forked child.
set -euo pipefail
cd "$(dirname "$0")/.."

rooms=("$@")
(($#)) || rooms=(base io kernels codes index segment)
export LAMINA_FLIP_STEP=4001 LAMINA_FAULT_STEP=400 LAMINA_CUTS=50 LAMINA_LOST_SYNCS=20 LAMINA_COMPOUND=20
left_out=Calibration.*:CoarseCodes.*:*/Coarse.*:*/Filters.*:*/Walk*.*:Merge.*:*/Merged.*:Graph.Dimensions*
left_out+=:DurabilityTest.WritersShareSyncs:RegistryDeathTest.*:ThreadPool.AForkedChildHasItsOwn
left_out+=:ThreadPool.ExitWithThreadsAtWorkDoesNotHang:ProcessTest.AKilledWriterLosesNothingThatItAcknowledged

missing=()
command -v aarch64-linux-gnu-g++ >/dev/null || missing+=(g++-aarch64-linux-gnu)
command -v qemu-aarch64 >/dev/null || missing+=(qemu-user)
[[ -d /usr/src/googletest ]] || missing+=(googletest)
((${#missing[@]} == 0)) || { echo "Missing, of Debian's packages: ${missing[*]}" >&2; exit 1; }

cmake --preset arm64 -Wno-deprecated >/dev/null
cmake --build --preset arm64 --target "${rooms[@]/%/_test}"

# What an ARM64 processor may lack is in the objects that are called where it has it, and in no other.
find build/arm64/cpp -name '*.o' | while read -r object; do
  case $object in */neon_dot.cpp.o | */crc32c_arm64.cpp.o) continue ;; esac
  if aarch64-linux-gnu-objdump -d --no-show-raw-insn "$object" | grep -P '\t([su]dot|crc32|ldadd|cas|swp)\w*\t'; then
    echo "$object holds instructions of newer processors" >&2
    exit 1
  fi
done

# run CPU ROOM: its tests, less those left out.
run() {
  echo "--- $2 on $1, LAMINA_ISA=${LAMINA_ISA-}"
  qemu-aarch64 -cpu "$1" -L /usr/aarch64-linux-gnu "build/arm64/tests/cpp/$2_test" --gtest_brief=1 --gtest_filter="-$left_out"
}

for room in "${rooms[@]}"; do
  run max "$room"
  case $room in
    kernels) run cortex-a72 kernels ;;
    codes) for isa in baseline neon; do LAMINA_ISA=$isa run cortex-a72 codes; done ;;
  esac
done
