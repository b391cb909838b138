"""The committed stubs say what the extension says.

Goal: an editor and mypy never disagree with the module. Method: pybind11-stubgen writes the stubs anew, and they are
compared with the committed ones, formatting aside.
"""

from __future__ import annotations

import difflib
import subprocess
import sys
from pathlib import Path

import pytest

REFRESH = "python tests/python/test_stubs.py"
PACKAGE = Path(__file__).resolve().parents[2] / "python" / "lamina"


def generate(folder: Path) -> dict[str, str]:
    """Stubs of lamina._core by name: `_core.pyi`, or `_core/….pyi` where it has submodules."""
    command = [sys.executable, "-m", "pybind11_stubgen", "lamina._core", "--exit-code", "-o", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"pybind11-stubgen failed:\n{done.stderr}"
    command = [sys.executable, "-m", "ruff", "format", "--quiet", "--isolated", "--line-length=120", str(folder)]
    subprocess.run(command, check=True)
    return read(folder / "lamina")


def read(package: Path) -> dict[str, str]:
    files = [*package.glob("_core.pyi"), *package.glob("_core/**/*.pyi")]
    by_name = {str(path.relative_to(package)): path.read_text() for path in sorted(files)}
    # The hooks of a test build are no part of what a user installs.
    return {name: text for name, text in by_name.items() if "testing" not in name}


def without_test_hooks(text: str) -> list[str]:
    return [line for line in text.splitlines() if "testing" not in line]


def test_stubs_are_up_to_date(tmp_path: Path) -> None:
    if sys.version_info[:2] != (3, 11):
        pytest.skip("stubs are compared on Python 3.11 only: annotations are spelt differently elsewhere")
    fresh, committed = generate(tmp_path), read(PACKAGE)
    difference: list[str] = []
    for name in sorted(fresh.keys() | committed.keys()):
        old, new = without_test_hooks(committed.get(name, "")), without_test_hooks(fresh.get(name, ""))
        difference += difflib.unified_diff(old, new, f"committed {name}", f"module {name}", lineterm="")
    assert not difference, f"the stubs are stale; refresh them with: {REFRESH}\n" + "\n".join(difference)


def refresh() -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        fresh = generate(Path(folder))
    for name, text in fresh.items():
        path = PACKAGE / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(without_test_hooks(text)) + "\n")
        print(f"wrote {path}")
    for stale in read(PACKAGE).keys() - fresh.keys():
        (PACKAGE / stale).unlink()


if __name__ == "__main__":
    refresh()
