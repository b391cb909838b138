"""What the compiler made of the kernels.

Goal: the extension runs on every x86-64, and a prefetch asks for every cache line. Method: kernels for AVX live in
sections of their own, which stripping keeps: outside these the installed extension may hold no AVX instruction. The
prefetch is inlined into its callers, so a caller is compiled here, and its machine code read; for ARM64 too, where
there is a compiler for it.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AVX = re.compile(r"%[yz]mm\d|%k[1-7]\b|\tv[a-z]\w+\s.*%xmm")
CROSS = "aarch64-linux-gnu-"
pytestmark = pytest.mark.skipif(shutil.which("objdump") is None, reason="objdump was not found")


def objdump(*arguments: str, prefix: str = "") -> str:
    done = subprocess.run([f"{prefix}objdump", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def extension() -> str:
    spec = importlib.util.find_spec("lamina._core")
    assert spec is not None
    assert spec.origin is not None
    return spec.origin


@pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="reads x86-64 machine code")
def test_extension_holds_avx_in_its_own_sections_only(extension: str) -> None:
    code = re.findall(r"^ *\d+ (\S+) .*\n.*\bCODE\b", objdump("-h", extension), re.MULTILINE)
    held = {section: bool(AVX.search(objdump("-d", "-j", section, extension))) for section in code}
    assert ".text" in held
    assert {section for section, avx in held.items() if avx} == {"lamina_avx2", "lamina_avx512"}


# To the next cache line, on x86-64 and on ARM64.
MOVED_ON = re.compile(r"(add +\$0x40|sub +\$0xffffffffffffffc0),|add\t(x\d+), \2, #0x40$")

CALLERS = """
#include "kernels/kernels.h"
void four_lines(const char* p) { lamina::prefetch(p, 256); }
void rows(const char* p, const unsigned* ids, int n, size_t bytes) {
  for (int i = 0; i < n; ++i) lamina::prefetch(p + ids[i] * bytes, bytes);
}
"""


@pytest.mark.parametrize("prefix", ["", *([CROSS] if shutil.which(CROSS + "g++") else [])])
@pytest.mark.parametrize("optimization", ["-O2", "-O3"])
def test_prefetch_survives_the_compiler(tmp_path: Path, optimization: str, prefix: str) -> None:
    compiler = f"{prefix}g++" if prefix else os.environ.get("CXX") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler was found")
    source, compiled = tmp_path / "callers.cpp", tmp_path / "callers.o"
    source.write_text(CALLERS)
    command = [
        *compiler.split(),
        "-std=c++20",
        optimization,
        f"-I{ROOT / 'cpp'}",
        "-c",
        str(source),
        "-o",
        str(compiled),
    ]
    subprocess.run(command, check=True)
    code = objdump("-d", "-C", "--no-show-raw-insn", str(compiled), prefix=prefix)
    functions = re.split(r"^[0-9a-f]+ <(\w+)\(.*>:$", code, flags=re.M)
    assert functions[1::2] == ["four_lines", "rows"]
    for name, body in zip(functions[1::2], functions[2::2], strict=True):
        assert not re.search(r"\t(call|bl)\b", body), f"prefetch is not inlined into {name}"
        assert prefetches_in_a_loop(body), f"{name} asks for some lines only:\n{body}"


def prefetches_in_a_loop(body: str) -> bool:
    """Whether a prefetch is followed by a jump back to it or before it, with the address moved on by a cache line."""
    lines = re.findall(r"^ *([0-9a-f]+):\t(.*)$", body, re.MULTILINE)
    at = next(i for i, (_, text) in enumerate(lines) if text.startswith(("prefetch", "prfm")))
    for i, (_, text) in enumerate(lines[at:], start=at):
        jump = re.match(r"(?:j\w+ +|b\.\w+\t)([0-9a-f]+) ", text)
        if jump and int(lines[at][0], 16) >= int(jump[1], 16):
            start = next(k for k, (address, _) in enumerate(lines) if address == jump[1])
            return any(MOVED_ON.match(text) for _, text in lines[start:i])
    return False
