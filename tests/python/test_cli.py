"""The command line.

Goal: data on stdout, the rest on stderr, codes 0, 1 and 2, no traceback ever. Method: run each verb in this process,
and the program itself once.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from tests.python.command_line import run

import lamina

TEXTS = ["a red cat", "two blue dogs", "green birds sing"]
ROWS = [{"id": f"d{at}", "text": text, "n": at} for at, text in enumerate(TEXTS)]


@pytest.fixture
def source(tmp_path: Path) -> str:
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    return str(tmp_path / "s.jsonl")


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "s.lamina")


@pytest.fixture(autouse=True)
def quiet_logging() -> None:
    logging.getLogger().handlers.clear()


def test_refresh_then_search(capsys: pytest.CaptureFixture[str], store: str, source: str) -> None:
    out, err = run(capsys, "refresh", store, source)
    assert (out, err) == (out, "")
    assert out.startswith("3 added, 0 updated")
    out, _ = run(capsys, "refresh", store, source, "--json")
    report = json.loads(out)
    assert (report["unchanged"], report["embedded"], report["records"]) == (3, 0, 3)
    out, _ = run(capsys, "search", store, "dogs", "-k", "1")
    assert "d1  two blue dogs" in out
    for breadth in (["--exact"], ["--ef", "10"], ["--recall", "0.9"]):
        hit = json.loads(run(capsys, "search", store, "birds", "-k", "1", "--json", *breadth)[0])[0]
        assert (hit["id"], hit["content"], hit["metadata"]) == ("d2", "green birds sing", {"n": 2})
    with lamina.open(store) as opened:
        assert opened.recovery.clean


def test_a_first_refresh_that_is_refused_leaves_nothing(
    capsys: pytest.CaptureFixture[str], store: str, source: str, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text("no JSON\n")
    run(capsys, "refresh", store, str(bad), code=1)
    assert not Path(store).exists()
    run(capsys, "refresh", store, source)
    run(capsys, "refresh", store, str(bad), "--collection", "other", code=1)
    with lamina.open(store) as opened:
        assert (opened.list_collections(), len(opened.get_collection("docs"))) == (["docs"], 3)


def test_refresh_names_its_fields(capsys: pytest.CaptureFixture[str], store: str, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("key,words\nx,some text\n")
    run(capsys, "refresh", store, str(tmp_path / "s.csv"), "--id-field", "key", "--text-field", "words",
        "--collection", "other", "--model", "hash:16", "--batch-size", "1")  # fmt: skip
    with lamina.open(store) as opened:
        docs = opened.get_collection("other")
        assert (docs.model.name, docs.get(["x"]).content) == ("hash:16", ["some text"])
    _, err = run(capsys, "refresh", store, str(tmp_path / "s.csv"), "--id-field", "key", "--text-field", "words",
                 "--collection", "other", "--model", "hash:32", code=1)  # fmt: skip
    assert "hash:32" in err
    assert "hash:16" in err


def test_a_model_that_does_not_say_its_dimension_is_tried(
    capsys: pytest.CaptureFixture[str], store: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_embedder.py").write_text("def embed(texts): return [[float(len(t)), 1, 2] for t in texts]")
    monkeypatch.syspath_prepend(str(tmp_path))
    run(capsys, "refresh", store, source, "--model", "own_embedder:embed")
    out, _ = run(capsys, "search", store, "a red cat", "-k", "1")
    assert "d0" in out
    assert json.loads(run(capsys, "info", store, "--json")[0])["collections"]["docs"]["model"]["dim"] == 3


def test_refresh_deletes_within_bounds(capsys: pytest.CaptureFixture[str], store: str, source: str) -> None:
    run(capsys, "refresh", store, source)
    Path(source).write_text(json.dumps(ROWS[0]))
    out, err = run(capsys, "refresh", store, source, "--delete", "missing", code=1)
    assert (out, "2 of the 3 records" in err) == ("", True)
    out, _ = run(capsys, "refresh", store, source, "--delete", "missing", "--max-delete", "0.7", "--dry-run", "--json")
    assert (json.loads(out)["deleted"], json.loads(out)["records"]) == (2, 3)
    assert "2 deleted" in run(capsys, "refresh", store, source, "--delete", "missing", "--max-delete", "0.7")[0]
    Path(source).write_text(json.dumps(ROWS[1]))
    out, _ = run(capsys, "refresh", store, source, "--scope", "another", "--delete", "missing", "--json")
    assert (json.loads(out)["deleted"], json.loads(out)["records"]) == (0, 2)


def test_refresh_keeps_to_a_budget(capsys: pytest.CaptureFixture[str], store: str, source: str) -> None:
    out, err = run(capsys, "refresh", store, source, "--budget", "5tokens", "--batch-size", "1", "--json", code=1)
    assert json.loads(out)["embedded"] == 1
    assert "stopped: the next batch would exceed the budget of 5 tokens" in err
    assert "price" in run(capsys, "refresh", store, source, "--budget", "0.5", code=1)[1]
    assert "3 added" in run(capsys, "refresh", store, source, "--budget", "60s", "--collection", "other")[0]


def test_refresh_says_what_failed(
    capsys: pytest.CaptureFixture[str], store: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "picky_embedder.py").write_text(
        "def embed(texts):\n    if any('dogs' in text for text in texts): raise ValueError('no dogs')\n"
        "    return [[float(len(text)), 1] for text in texts]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    out, err = run(capsys, "refresh", store, source, "--model", "picky_embedder:embed", code=1)
    assert "2 added" in out
    assert "'d1' failed: ValueError: no dogs" in err


def test_refresh_every_so_often(
    capsys: pytest.CaptureFixture[str], store: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 1:
            Path(source).write_text("{")  # a source that cannot be read now may be read later
        elif len(naps) == 2:
            Path(source).write_text(json.dumps({**ROWS[0], "text": "a blue cat"}))
        else:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", nap)
    out, err = run(capsys, "refresh", store, source, "--every", "5m", code=1)
    assert [line.partition(" unchanged")[0] for line in out.splitlines()] == [
        "3 added, 0 updated, 0 with new metadata only, 0",
        "0 added, 1 updated, 0 with new metadata only, 0",
    ]
    assert "is not JSON" in err
    assert all(200 < seconds <= 300 for seconds in naps)


def test_info_verify_and_optimize(capsys: pytest.CaptureFixture[str], store: str, source: str) -> None:
    run(capsys, "refresh", store, source)
    found = json.loads(run(capsys, "info", store, "--json")[0])
    assert found["collections"]["docs"]["records"] == 3
    assert found["collections"]["docs"]["model"]["name"] == "hash:384"
    assert "records: 3" in run(capsys, "info", store)[0]
    assert json.loads(run(capsys, "info", "--build", "--json")[0])["version"] == lamina.__version__
    assert "isa: " in run(capsys, "info", "--build")[0]
    assert json.loads(run(capsys, "optimize", store, "--json")[0])["seconds"].keys() == {"docs"}
    assert "optimized" in run(capsys, "optimize", store, "--collection", "docs")[0]
    assert json.loads(run(capsys, "verify", store, "--json")[0])["records"] == 3
    assert run(capsys, "verify", store)[0].startswith("sound: ")


def test_damage_is_found_and_named(capsys: pytest.CaptureFixture[str], store: str, source: str) -> None:
    run(capsys, "refresh", store, source)
    run(capsys, "optimize", store)
    damaged = max(Path(store).rglob("*.vec"), key=lambda path: path.stat().st_size)
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    out, err = run(capsys, "verify", store, code=1)
    assert out == ""
    assert damaged.name in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "{nowhere}", "x"], ["info", "{nowhere}"], ["verify", "{nowhere}"], ["repair", "{nowhere}"],
        ["optimize", "{nowhere}"],
        ["refresh", "{store}", "{nowhere}"], ["search", "{store}", "x", "--collection", "nope"],
        ["optimize", "{store}", "--collection", "nope"], ["refresh", "{store}", "{source}", "--id-field", "nope"],
        ["refresh", "{store}", "{source}", "--collection", "new", "--model", "nothing"],
        ["refresh", "{store}", "{source}", "--collection", "new", "--model", "no_such_module:f"],
        ["search", "{store}", "x", "--recall", "7"], ["demo", "--keep", "{store}"],
    ],
)  # fmt: skip
def test_failures_are_one_friendly_line(
    capsys: pytest.CaptureFixture[str], store: str, source: str, tmp_path: Path, arguments: list[str]
) -> None:
    run(capsys, "refresh", store, source)
    places = {"nowhere": str(tmp_path / "nowhere"), "store": store, "source": source}
    out, err = run(capsys, *(argument.format(**places) for argument in arguments), code=1)
    assert out == ""
    assert err.startswith("lamina: ")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    "arguments",
    [[], ["nothing"], ["count"], ["count", "s", "--filter", "{"], ["count", "s", "--filter", "[]"],
     ["search", "s", "x", "--filter", '{"n": {"$gr": 1}}'],
     ["search"], ["search", "s"], ["search", "s", "x", "-k", "0"], ["search", "s", "x", "-k", "many"],
     ["search", "s", "x", "--ef", "5", "--exact"], ["refresh", "s"], ["refresh", "s", "t", "--every", "5"],
     ["refresh", "s", "t", "--every", "xm"], ["refresh", "s", "t", "--budget", "much"],
     ["refresh", "s", "t", "--max-delete", "2"], ["info"], ["verify", "s", "--no-such"]],
)  # fmt: skip
def test_wrong_use_is_code_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    _, err = run(capsys, *arguments, code=2)
    assert "usage: lamina" in err


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, "--help")
    for verb in ("refresh", "search", "count", "info", "verify", "repair", "optimize", "demo"):
        assert verb in out
        assert "usage: " in run(capsys, verb, "--help")[0]
    assert run(capsys, "--version")[0] == f"lamina {lamina.__version__}\n"


def test_a_filter_is_json(capsys: pytest.CaptureFixture[str], store: str, source: str) -> None:
    run(capsys, "refresh", store, source)
    assert run(capsys, "count", store)[0] == "3\n"
    assert json.loads(run(capsys, "count", store, "--json", "--filter", '{"n": {"$gte": 1}}')[0]) == {"count": 2}
    found = json.loads(run(capsys, "search", store, "dogs", "--json", "--filter", '{"n": {"$in": [0, 2]}}')[0])
    assert sorted(hit["id"] for hit in found) == ["d0", "d2"]
    assert run(capsys, "count", store, "--filter", '{"_updated_at": {"$lt": "2020-01-01T00:00:00Z"}}')[0] == "0\n"
    out, err = run(capsys, "search", store, "dogs", "--filter", '{"m": 1}', code=1)
    assert out == ""
    assert "no field 'm'; there are: 'n'" in err


def test_the_program_itself(store: str, source: str) -> None:
    command = [sys.executable, "-m", "lamina"]
    done = subprocess.run([*command, "refresh", store, source, "--json"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, json.loads(done.stdout)["added"]) == (0, "", 3)
    done = subprocess.run([*command, "verify", source], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("lamina: ")


def test_a_migration_from_plan_to_finalize(capsys: pytest.CaptureFixture[str], store: str, source: str) -> None:
    run(capsys, "refresh", store, source)
    planned = json.loads(run(capsys, "migrate", "plan", store, "--to", "hash:64", "--json")[0])
    assert planned["records"] == planned["texts"] > 0
    run(capsys, "migrate", "status", store, code=1)  # none is open
    run(capsys, "migrate", "cutover", store, code=1)
    ran = json.loads(run(capsys, "migrate", "run", store, "--to", "hash:64", "--json")[0])
    assert ran["stored"] == planned["records"]
    assert "ready: 100.0%" in run(capsys, "migrate", "status", store)[0]
    golden = Path(store).with_name("golden.jsonl")
    golden.write_text('{"query": "two blue dogs", "relevant": ["d1"]}\n{"query": "green birds"}\n')
    asked = ("--golden", str(golden), "--min-recall", "0.9")
    assert json.loads(run(capsys, "migrate", "evaluate", store, "--json", *asked)[0])["recall"] == 1.0
    golden.write_text('{"query": "two blue dogs", "relevant": ["none"]}\n')
    assert "refused" in run(capsys, "migrate", "evaluate", store, *asked, code=1)[0]
    run(capsys, "migrate", "cutover", store, *asked, code=1)
    assert "cut_over" in run(capsys, "migrate", "cutover", store)[0]
    assert "d1" in run(capsys, "search", store, "two blue dogs", "-k", "1")[0]
    assert "rolled_back" in run(capsys, "migrate", "rollback", store)[0]
    run(capsys, "migrate", "run", store)
    run(capsys, "migrate", "cutover", store)
    assert json.loads(run(capsys, "migrate", "finalize", store, "--json")[0])["state"] == "finalized"
    run(capsys, "migrate", "run", store, "--to", "hash:32")
    assert "aborted" in run(capsys, "migrate", "abort", store)[0]
    assert json.loads(run(capsys, "info", store, "--json")[0])["collections"]["docs"]["model"]["name"] == "hash:64"
