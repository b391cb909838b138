"""The Python of the README and of the recipes works as it stands: each block is run in an empty directory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
RECIPES = README.parent / "docs" / "recipes.md"


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)


BLOCKS = blocks(README)


@pytest.mark.parametrize("block", [*BLOCKS, *blocks(RECIPES)], ids=lambda block: block.splitlines()[0])
def test_block_runs(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if '"kb.lamina"' in block and '"kb.lamina", create=True' not in block:  # it goes on with what the first one made
        exec(compile(BLOCKS[0], str(README), "exec"), {})
    exec(compile(block, str(README), "exec"), {})


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 2
