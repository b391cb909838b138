"""The C++ tests, through pytest, and what the compiler made of the sources.

Goal: one command runs every test, and one wheel runs on every x86-64. Method: build in build/pytest, kept from run to
run; run ctest; read the machine code. Where GoogleTest is absent, skip and name what was not run, unless
LAMINA_REQUIRE_GTEST or CI says that it must be there.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "pytest"


def tool(name: str) -> str:
    """The tool of this environment, which PyPI's wheels put beside Python, else the system's."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.fail(f"{name} was not found: install the extra, pip install '.[test]'")
    return found


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-20_000:]}", pytrace=False)
    return done.stdout


@pytest.fixture(scope="module")
def configured() -> str:
    """What cmake said while it configured build/pytest."""
    return run(
        tool("cmake"), "-S", str(ROOT), "-B", str(BUILD), "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}",
        "-DCMAKE_BUILD_TYPE=Release", "-DLAMINA_PYTHON=OFF", "-DLAMINA_TESTING=ON",
    )  # fmt: skip


@pytest.mark.slow
def test_cpp(configured: str) -> None:
    if "GoogleTest was not found" in configured:
        sources = sorted(path.name for path in (ROOT / "tests" / "cpp").rglob("*_test.cpp"))
        reason = f"GoogleTest not found: C++ tests skipped: {', '.join(sources)}"
        if os.environ.get("LAMINA_REQUIRE_GTEST") or os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    run(tool("cmake"), "--build", str(BUILD))
    report = run(str(Path(tool("cmake")).parent / "ctest"), "--test-dir", str(BUILD), "--output-on-failure", "-j2")
    passed = re.search(r"tests passed, 0 tests failed out of (\d+)", report)
    assert passed, report
    assert int(passed[1]) > 0, f"no test was found:\n{report}"
    skipped = re.findall(r"^\s*\d+ - (\S+) \(Skipped\)", report, re.MULTILINE)
    assert not skipped, f"C++ tests that skipped themselves: {skipped}"
    print(f"{passed[1]} C++ tests passed")


@pytest.fixture(scope="module")
def objects(configured: str) -> list[Path]:
    """Every object that goes into the extension, bindings aside."""
    if platform.machine() not in {"x86_64", "AMD64"} or not shutil.which("objdump"):
        pytest.skip("reads x86-64 machine code with objdump")
    rooms = re.findall(r"^lamina_room\((\w+)", (ROOT / "cpp" / "CMakeLists.txt").read_text(), re.MULTILINE)
    run(tool("cmake"), "--build", str(BUILD), "--target", *(f"lamina_{room}" for room in rooms))
    return sorted((BUILD / "cpp").rglob("*.o"))


def needs_avx(path: Path) -> bool:
    return "kernels" in str(path) and "avx" in path.name


@pytest.mark.slow
def test_only_the_kernels_for_avx_hold_avx(objects: list[Path]) -> None:
    wide = re.compile(r"%[yz]mm\d|\tv[a-z]\w+ .*%xmm")
    held = {path.name: bool(wide.search(run("objdump", "-d", str(path)))) for path in objects}
    allowed = {path.name for path in objects if needs_avx(path)}
    assert {name for name, wide_code in held.items() if wide_code} == allowed
    assert allowed, "the kernels have objects of their own for AVX"


@pytest.mark.slow
def test_objects_for_avx_share_no_code(objects: list[Path]) -> None:
    # A weak symbol (an inline function, a template) compiled for AVX could be the copy that the linker keeps for all.
    for path in filter(needs_avx, objects):
        weak = re.findall(r"^\S+ [VWu] (.*)$", run("nm", "--defined-only", "-C", str(path)), re.MULTILINE)
        assert not weak, f"{path.name} defines what others may link to: {weak}"
