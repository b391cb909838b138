"""The rooms keep their direction.

Goal: a reader can trust cpp/CMakeLists.txt as the map of the architecture. Method: every include, every file length and
every top-level name is read from the sources and held to the rules written here.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CPP = ROOT / "cpp"

TOP_LEVEL = {
    ".ci", ".clang-format", ".clang-tidy", ".gitignore", ".pre-commit-config.yaml", "CHANGELOG.md", "CMakeLists.txt",
    "CMakePresets.json", "CONTRIBUTING.md", "LICENSE", "README.md", "bench", "cpp", "docs", "pyproject.toml", "python",
    "tests",
}  # fmt: skip

INTRINSICS = re.compile(r"(imm|arm_neon|arm_sve|arm_acle|nmm|cpuid|xmm|emm|pmm|tmm|smm|wmm)\w*\.h")
CRC = "io/crc32c"  # the checksum instruction of SSE4.2 and of ARM64, asked for at run time
CPU = ("kernels/cpu_arm64.cpp", "sys/auxv.h")  # a word that the system left at the start of this process

PLATFORM = re.compile(
    r"(unistd|fcntl|dirent|sched|signal|dlfcn|poll|pthread|sys/\w+|linux/\w+|mach/\w+|copyfile|spawn|pwd|netdb)\.h"
)
MEMORY_AND_THREADS = {"sys/mman.h", "unistd.h", "pthread.h", "sched.h", "signal.h"}  # what cpp/base may include

HEAVY = {"pyarrow", "pandas", "polars", "zstandard", "tqdm", "sentence_transformers", "asyncio", "importlib.metadata"}

LONGEST_FILE = 500


def tracked_files() -> list[str]:
    """The files of the repository, as git knows them; of the folder, where a source archive has no git."""
    if (ROOT / ".git").exists():
        done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return [name for name in done.stdout.splitlines() if (ROOT / name).exists()]
    return [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()]


def rooms() -> dict[str, set[str]]:
    """Each room of cpp/CMakeLists.txt with the rooms that it may use, those below them included."""
    text = (CPP / "CMakeLists.txt").read_text()
    allowed: dict[str, set[str]] = {}
    for name, used in re.findall(r"^lamina_(?:room|module)\((\w+)(?:\s+USES\s+([\w ]+?))?\s*\)", text, re.MULTILINE):
        direct = set(used.split())
        unknown = direct - allowed.keys()
        assert not unknown, f"cpp/CMakeLists.txt: {name} uses {unknown}, which no line above it has laid"
        allowed[name] = direct.union(*(allowed[room] for room in direct))
    return allowed


def sources() -> list[Path]:
    return sorted(path for pattern in ("*.h", "*.cpp") for path in CPP.rglob(pattern))


def includes(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if found := re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line):
            yield number, found[1]


def test_the_map_names_every_folder() -> None:
    laid = set(rooms())
    folders = {path.name for path in CPP.iterdir() if path.is_dir()}
    assert folders == laid, "each folder of cpp/ has its line in cpp/CMakeLists.txt, and each line its folder"


@pytest.mark.parametrize("room", rooms())
def test_a_room_includes_only_rooms_below_it(room: str) -> None:
    allowed = rooms()
    wrong = [
        f"{path.relative_to(ROOT)}:{number} includes {name}"
        for path in sources()
        if path.relative_to(CPP).parts[0] == room
        for number, name in includes(path)
        if (CPP / name).exists() and name.split("/")[0] not in allowed[room] | {room}
    ]
    assert not wrong, f"{room} may use {sorted(allowed[room])} only:\n" + "\n".join(wrong)


def test_an_include_of_ours_names_its_room() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{number} includes {name}"
        for path in sources()
        for number, name in includes(path)
        if not (CPP / name).exists() and (path.parent / name).exists()
    ]
    assert not wrong, 'write #include "room/noun.h":\n' + "\n".join(wrong)


def test_intrinsics_stay_in_kernels() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{number} includes {name}"
        for path in sources()
        for number, name in includes(path)
        if INTRINSICS.fullmatch(name)
        and path.relative_to(CPP).parts[0] != "kernels"
        and not str(path.relative_to(CPP)).startswith(CRC)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_operating_system_is_called_in_io() -> None:
    wrong = []
    for path in sources():
        room = path.relative_to(CPP).parts[0]
        for number, name in includes(path):
            if (str(path.relative_to(CPP)), name) == CPU:
                continue
            if PLATFORM.fullmatch(name) and room != "io" and not (room == "base" and name in MEMORY_AND_THREADS):
                wrong.append(f"{path.relative_to(ROOT)}:{number} includes {name}")
    assert not wrong, "\n".join(wrong)


def test_the_library_neither_prints_nor_aborts() -> None:
    said = re.compile(r"\b(std::cout|std::cerr|printf|fprintf|puts|abort|exit|assert)\s*(\(|<<)")
    wrong = [
        f"{path.relative_to(ROOT)}:{number} {line.strip()}"
        for path in sources()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if said.search(re.sub(r"//.*|static_assert", "", line))
    ]
    assert not wrong, "\n".join(wrong)


def test_no_file_is_long() -> None:
    long = [
        f"{name}: {lines} lines"
        for name in tracked_files()
        if name.startswith(("cpp/", "python/")) and name.endswith((".h", ".cpp", ".py"))
        if (lines := len((ROOT / name).read_text().splitlines())) > LONGEST_FILE
    ]
    assert not long, f"a file of more than {LONGEST_FILE} lines holds two nouns:\n" + "\n".join(long)


def test_the_top_level_stays_small() -> None:
    found = {name.split("/")[0] for name in tracked_files()} if (ROOT / ".git").exists() else TOP_LEVEL
    assert found <= TOP_LEVEL, f"new at the top level: {sorted(found - TOP_LEVEL)}"


def test_tests_mirror_the_rooms() -> None:
    allowed = set(rooms()) - {"bindings"}
    stray = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests" / "cpp").rglob("*_test.cpp")
        if path.relative_to(ROOT / "tests" / "cpp").parts[0] not in allowed
    ]
    assert not stray, f"no room of cpp/ has these tests, so nothing builds them: {stray}"


def test_a_test_first_includes_what_it_tests() -> None:
    wrong = []
    for path in sorted((ROOT / "tests" / "cpp").rglob("*_test.cpp")):
        header = f"{path.parent.name}/{path.stem.removesuffix('_test')}.h"
        first = next((name for _, name in includes(path)), "")
        if (CPP / header).exists() and first.split("/")[0] != path.parent.name:
            wrong.append(f"{path.relative_to(ROOT)} begins with {first}, not with {header} or another of its room")
    assert not wrong, "the first include of a test is the header under test:\n" + "\n".join(wrong)


def test_import_brings_in_nothing_heavy() -> None:
    script = "import sys, numpy; before = set(sys.modules); import lamina; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = HEAVY & set(done.stdout.split())
    assert not heavy, f"import lamina brings in {sorted(heavy)}: import them on first use"
