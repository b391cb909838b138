"""`lamina demo` shows what it says.

Goal: a person reading the output sees each promise kept. Method: run it whole, and read the output as a person would.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import lamina
from lamina import demo


def test_docstrings_are_many_and_each_has_its_own_id() -> None:
    items = list(demo.docstrings())
    assert len(items) > 3000
    assert len({item.id for item in items}) == len(items)
    by_id = {item.id: item for item in items}
    assert "JSON" in by_id["json.dumps"].content
    assert by_id["json.dumps"].metadata == {"module": "json", "kind": "function"}
    assert not any(".test." in str(item.id) for item in items)


@pytest.mark.slow
def test_the_demo_keeps_its_promises(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.run(str(tmp_path / "kept.lamina")) == 0
    out = capsys.readouterr().out
    texts = int(re.search(r"([\d,]+) texts", out)[1].replace(",", ""))
    assert texts > 3000
    assert f"{texts:,} embedded; each batch was on the disk" in out
    changed = int(re.search(r"Changing (\d+) of the texts", out)[1])
    gone = int(re.search(r"taking (\d+) away", out)[1])
    assert f"{changed} embedded, {gone} deleted, {texts - changed - gone:,} left as they were" in out
    assert re.search(r"nothing changed … .*\n  0 embedded", out)
    assert "refused: its distances would look right and mean nothing" in out
    assert "refused: a few fixed texts" in out
    assert "must not be" not in out
    assert f"{texts - gone:,} vectors of 256 dimensions, while 384 are served" in out
    assert re.search(r"Cutting over .*\n  256 dimensions", out)
    assert "384 dimensions are served, and the late record is found: 'late'" in out
    assert re.search(r"Verifying every byte … .*\n  .*sound", out)
    assert "csv" in out.partition("CSV files”")[2].splitlines()[1]
    with lamina.open(tmp_path / "kept.lamina", read_only=True) as store:
        assert len(store.get_collection("docs")) == texts - gone
