"""The C++ tests, through pytest.

Goal: one command runs every test. Method: build them in build/pip, beside the rooms that pip has built there, and run
ctest; where GoogleTest is absent, skip and name what was not run, unless LAMINA_REQUIRE_GTEST or CI says that it must
be there. Then each safeguard is switched off, to see that a test notices.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "pip"  # pyproject.toml says so


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


def configure() -> str:
    """Configures the C++ tests in the folder where pip builds; returns what cmake said.

    What pip used to build may be gone, its ninja for one. Where there was none, pip used make.
    """
    cache = BUILD / "CMakeCache.txt"
    with_make = cache.exists() and "CMAKE_GENERATOR:INTERNAL=Unix Makefiles" in cache.read_text()
    generator = [] if with_make else ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}"]
    return run(
        tool("cmake"), "-S", str(ROOT), "-B", str(BUILD), *generator, "-DSKBUILD=OFF", "-DCMAKE_BUILD_TYPE=Release",
        "-DLAMINA_PYTHON=OFF", "-DLAMINA_TESTING=ON", "-DCMAKE_UNITY_BUILD=ON",
    )  # fmt: skip


@pytest.mark.slow
def test_cpp() -> None:
    if "GoogleTest was not found" in configure():
        sources = sorted(path.name for path in (ROOT / "tests" / "cpp").rglob("*_test.cpp"))
        reason = f"GoogleTest not found: C++ tests skipped: {', '.join(sources)}"
        if os.environ.get("LAMINA_REQUIRE_GTEST") or os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    run(tool("cmake"), "--build", str(BUILD), "--parallel", str(os.cpu_count() or 2))
    report = BUILD / "report.xml"
    ctest = str(Path(tool("cmake")).parent / "ctest")
    run(ctest, "--test-dir", str(BUILD), "--output-on-failure", "--output-junit", str(report), "-j2")
    cases = list(ElementTree.parse(report).iter("testcase"))
    assert cases, "no test was found"
    skipped = [case.get("name") for case in cases if case.find("skipped") is not None]
    assert not skipped, f"C++ tests that skipped themselves: {skipped}"
    print(f"{len(cases)} C++ tests passed")


@pytest.mark.slow
def test_each_safeguard_that_is_off_is_noticed() -> None:
    if not (BUILD / "tests" / "cpp" / "store_test").exists():
        pytest.skip("the C++ tests are not built")
    report = json.loads(run(sys.executable, "tests/python/crash/mutants.py", "--build", str(BUILD)))
    assert report["mutants"] >= 25
    assert report["survived"] == []
