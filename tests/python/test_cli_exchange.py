"""`lamina import` and `lamina export`.

Goal: what goes out comes in again; what is refused leaves no store and no collection. Method: as test_cli.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import faiss
import hnswlib
import numpy as np
import pytest
from tests.python.command_line import run

import lamina


def test_out_and_in(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with lamina.open(tmp_path / "a", create=True) as store:
        store.create_collection("notes", "hash:16").add(
            ["x", "y"], content=["red cat", "blue dog"], metadata={"n": [1, 2]}
        )
    out, err = run(capsys, "export", tmp_path / "a", tmp_path / "f.parquet")
    assert (out.startswith("2 records of 'notes', "), err) == (True, "")
    report = json.loads(run(capsys, "export", tmp_path / "a", tmp_path / "f.parquet", "--json")[0])
    assert (report["records"], report["bytes"]) == (2, (tmp_path / "f.parquet").stat().st_size)
    out, err = run(capsys, "import", tmp_path / "b", tmp_path / "f.parquet", "--json")
    assert (json.loads(out)["records"], json.loads(out)["collection"], err) == (2, "docs", "")
    assert "x  red cat" in run(capsys, "search", tmp_path / "b", "cat", "-k", "1")[0]
    with lamina.open(tmp_path / "b") as store:
        assert store.recovery.clean
        assert store.get_collection("docs").get("y").metadata == [{"n": 2}]


def test_indexes(capsys: pytest.CaptureFixture[str], tmp_path: Path, rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((30, 8)).astype(np.float32)
    index = hnswlib.Index("l2", 8)
    index.init_index(30)
    index.add_items(vectors, np.arange(30))
    index.save_index(str(tmp_path / "h"))
    flat = faiss.IndexFlatIP(8)
    flat.add(vectors)
    faiss.write_index(flat, str(tmp_path / "f"))
    _, err = run(capsys, "import", tmp_path / "s", tmp_path / "h", code=1)
    assert "--model" in err
    _, err = run(capsys, "import", tmp_path / "s", tmp_path / "h", "--model", "own", code=1)
    assert "--metric" in err
    assert not (tmp_path / "s").exists()
    out, _ = run(capsys, "import", tmp_path / "s", tmp_path / "h", "--model", "own", "--metric", "l2")
    assert out.startswith("30 records in 'docs', 0 of them owed")
    run(capsys, "import", tmp_path / "s", tmp_path / "f", "--model", "own", "--collection", "other")
    with lamina.open(tmp_path / "s") as store:
        assert [store.get_collection(name).model.metric for name in ("docs", "other")] == ["l2", "ip"]
        assert store.get_collection("other").get(range(30)).vectors.tobytes() == vectors.tobytes()
    _, err = run(capsys, "import", tmp_path / "s", tmp_path / "f", "--model", "own", "--id-field", "x",
                 "--collection", "third", code=1)  # fmt: skip
    assert "no columns" in err
    assert "already" in run(capsys, "import", tmp_path / "s", tmp_path / "f", "--model", "own", code=1)[1]


def test_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no index")
    assert "shorter than" in run(capsys, "import", tmp_path / "s", tmp_path / "text", "--model", "m", code=1)[1]
    assert "nothing" in run(capsys, "import", tmp_path / "s", tmp_path / "nothing", code=1)[1]
    assert not (tmp_path / "s").exists()
    run(capsys, "import", tmp_path / "s", code=2)
    run(capsys, "import", tmp_path / "s", tmp_path / "text", "--metric", "manhattan", code=2)
    run(capsys, "export", tmp_path / "nothing", tmp_path / "f", code=1)
    assert not (tmp_path / "f").exists()
