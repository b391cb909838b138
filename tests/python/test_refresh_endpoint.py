"""An embedding service that misbehaves, over HTTP on this machine.

Goal: rate limits are waited for, failures that pass are tried again, one bad text spoils no other, a wrong reply loses
nothing. Method: a small server that speaks OpenAI's protocol and does what a test tells it.
"""

from __future__ import annotations

import asyncio
import email.utils
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.python.counting import Counting

import lamina
from lamina import Collection, DimensionMismatchError, InvalidVectorError, Model, RefreshError, Retry
from lamina.endpoints import OpenAIEmbedder
from lamina.retry import asked_to_wait

Reply = tuple[int, dict[str, str], Any]  # status, headers, body


class Service(http.server.ThreadingHTTPServer):
    """Embeds as `Counting` does, unless `answer` answers a list of texts otherwise."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: Callable[[list[str]], Reply | None] = lambda texts: None
        self.embed = Counting()
        self.requests: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def reply(self, texts: list[str]) -> Reply:
        if (told := self.answer(texts)) is not None:
            return told
        with self.lock:
            vectors = self.embed(texts)
        data = [{"index": at, "embedding": row.tolist()} for at, row in enumerate(vectors)]
        return 200, {}, {"data": data[::-1]}


class Handler(http.server.BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append({"path": self.path, **body})
        self.server.headers.update(self.headers)
        status, headers, said = self.server.reply(body["input"])
        content = json.dumps(said).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    pytest.importorskip("httpx")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Service()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def docs(tmp_path: Path, service: Service) -> Iterator[Collection]:
    embed = OpenAIEmbedder("small", base_url=service.url, key="secret", timeout=5.0)
    with lamina.open(tmp_path / "s.lamina", create=True, durability="os", maintenance="manual") as store:
        yield store.create_collection("docs", model=Model("small", dim=4, embed=embed))


def rows(count: int) -> list[tuple[str, str]]:
    return [(f"d{at}", f"text {at}") for at in range(count)]


def test_the_protocol(docs: Collection, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    docs.refresh(rows(10), batch_size=4, concurrency=1)
    assert service.requests[1] == {
        "path": "/v1/embeddings",
        "model": "small",
        "encoding_format": "float",
        "input": [f"text {at}" for at in range(4)],
    }
    assert service.headers["Authorization"] == "Bearer secret"
    np.testing.assert_array_equal(docs.get(["d7"]).vectors, Counting()(["text 7"]))
    monkeypatch.setenv("OPENAI_BASE_URL", service.url)
    monkeypatch.setenv("OPENAI_API_KEY", "from the environment")
    assert Model("openai:large", dim=4).embed(["x"]).shape == (1, 4)
    assert service.requests[-1]["model"] == "large"
    assert "from the environment" in service.headers["Authorization"]
    OpenAIEmbedder("short", dimensions=4)(["x"])
    assert service.requests[-1]["dimensions"] == 4


def test_calls_are_as_large_as_the_service_takes(docs: Collection, service: Service) -> None:
    embed = OpenAIEmbedder("small", base_url=service.url, max_batch=10, max_batch_tokens=12)
    docs.refresh(rows(100), embed=embed)
    sizes = [len(request["input"]) for request in service.requests[1:]]
    assert max(sizes) == 6  # of two tokens each
    assert sum(sizes) >= 100


def test_a_storm_of_rate_limits_is_waited_out(docs: Collection, service: Service) -> None:
    started = time.monotonic()

    def storm(texts: list[str]) -> Reply | None:
        if time.monotonic() - started < 1.0:
            return 429, {"Retry-After": "1"}, {"error": "slow down"}
        return None

    service.answer = storm
    report = docs.refresh(rows(200), batch_size=20, retry=1)  # a rate limit is no attempt
    assert (report.added, report.failed, report.ok) == (200, 0, True)
    assert report.retries >= 1
    assert len(service.requests) < 30  # nobody asks while it is known that the answer is no


def test_a_rate_limit_that_never_ends_ends_the_refresh(docs: Collection, service: Service) -> None:
    docs.refresh(rows(5))
    service.answer = lambda texts: (429, {"Retry-After": "0.05"}, {"error": "quota exhausted"})
    with pytest.raises(RefreshError, match="quota exhausted"):
        docs.refresh(rows(10), retry=Retry(patience=0.2))
    assert len(docs) == 5


def test_failures_that_pass_are_tried_again(docs: Collection, service: Service) -> None:
    calls = []

    def flaky(texts: list[str]) -> Reply | None:
        calls.append(texts)
        return (503, {}, {"error": "overloaded"}) if len(calls) % 2 else None

    service.answer = flaky
    report = docs.refresh(rows(60), batch_size=20, concurrency=1, retry=Retry(wait=0))
    assert (report.added, report.failed, report.retries) == (60, 0, 4)


def test_time_outs_end_the_refresh_and_lose_nothing(docs: Collection, service: Service) -> None:
    docs.refresh(rows(5))

    def late(texts: list[str]) -> Reply | None:
        if any(text.startswith("text") for text in texts):
            time.sleep(0.5)
        return None

    service.answer = late
    embed = OpenAIEmbedder("small", base_url=service.url, timeout=0.1)
    report = docs.refresh(rows(7), embed=embed, retry=Retry(attempts=2, wait=0))
    assert [entry.reason.partition(":")[0] for entry in docs.failed()] == ["TimeoutError"] * 2  # only these texts do it
    assert report.failed == 2
    service.answer = lambda texts: time.sleep(0.5)
    with pytest.raises(RefreshError, match=r"TimeoutError: no answer from .* within 0\.1 s"):
        docs.refresh(rows(7), embed=embed, retry=Retry(attempts=2, wait=0))
    assert len(docs) == 5


@pytest.mark.parametrize("status", [400, 500])
def test_one_poison_text_in_ten_thousand(docs: Collection, service: Service, status: int) -> None:
    source = [*rows(10_000), ("meta", "text 1")]
    source[6_543] = ("d6543", "poison")
    service.answer = lambda texts: (status, {}, {"error": "too strange"}) if "poison" in texts else None
    report = docs.refresh(source, batch_size=500, retry=Retry(attempts=2, wait=0))
    assert (report.added, report.failed, report.embedded, len(docs)) == (10_000, 1, 9_999, 10_000)
    [failed] = docs.failed()
    assert (failed.id, failed.scope, failed.attempts) == ("d6543", "default", 1)
    assert f"status {status}" in failed.reason
    assert "too strange" in failed.reason
    assert report.requests < 20 + 1 + 4 * 10 + 2
    again = docs.refresh(source, retry_failed=False)
    assert (again.failed, again.unchanged, again.requests, len(docs.failed())) == (1, 10_000, 1, 1)
    assert (docs.refresh(source, retry=1).failed, docs.failed()[0].attempts) == (1, 2)
    source[6_543] = ("d6543", "mended")
    assert docs.refresh(source, retry_failed=False).added == 1
    assert docs.failed() == []


def test_what_a_poison_text_had_before_stays(docs: Collection, service: Service) -> None:
    docs.refresh(rows(3))
    service.answer = lambda texts: (400, {}, {"error": "no"}) if "poison" in texts else None
    report = docs.refresh([("d0", "poison"), ("d1", "text 1")], delete="missing", max_delete=0.5)
    assert (report.failed, report.deleted) == (1, 1)
    assert docs.get(["d0"]).content == ["text 0"]
    with pytest.raises(RefreshError, match="'d0' cannot be embedded"):
        docs.refresh([("d0", "poison"), ("new", "text")], on_error="raise")
    assert "new" in docs
    assert docs.refresh([("d1", "text 1")], delete="missing", max_delete=1).deleted == 2
    assert docs.failed() == []  # it left the source


def wrong_dimension(texts: list[str]) -> Reply:
    return 200, {}, {"data": [{"index": at, "embedding": [1.0] * 3} for at in range(len(texts))]}


def not_a_number(texts: list[str]) -> Reply:
    return 200, {}, {"data": [{"index": at, "embedding": [float("nan")] * 4} for at in range(len(texts))]}


def too_few(texts: list[str]) -> Reply:
    return 200, {}, {"data": [{"index": at, "embedding": [1.0] * 4} for at in range(len(texts) - 1)]}


def no_key(texts: list[str]) -> Reply:
    return 401, {}, {"error": "who are you"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [(wrong_dimension, DimensionMismatchError), (not_a_number, InvalidVectorError), (too_few, RefreshError),
     (no_key, RefreshError), (lambda texts: (200, {}, {"surprise": 1}), RefreshError)],
)  # fmt: skip
def test_replies_that_are_wrong_lose_nothing(
    docs: Collection, service: Service, answer: Callable[[list[str]], Reply], error: type[Exception]
) -> None:
    docs.refresh(rows(20))
    version, vectors = docs.version, docs.get([id for id, _ in rows(20)]).vectors
    service.answer = answer
    with pytest.raises(error):
        docs.refresh([(id, f"{text}, changed") for id, text in rows(20)])
    assert (docs.version, len(docs), docs.failed()) == (version, 20, [])
    np.testing.assert_array_equal(docs.get([id for id, _ in rows(20)]).vectors, vectors)


def test_a_reply_that_goes_wrong_halfway_keeps_what_was_right(docs: Collection, service: Service) -> None:
    def turns_bad(texts: list[str]) -> Reply | None:
        return wrong_dimension(texts) if len(docs) >= 40 else None

    service.answer = turns_bad
    with pytest.raises(DimensionMismatchError):
        docs.refresh(rows(100), batch_size=20, concurrency=1)
    assert len(docs) == 40
    service.answer = lambda texts: None
    assert docs.refresh(rows(100)).embedded == 60


def test_nobody_there(docs: Collection) -> None:
    embed = OpenAIEmbedder("small", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(RefreshError, match="ConnectionError: cannot reach"):
        docs.refresh(rows(3), embed=embed, retry=1)
    assert len(docs) == 0


def test_an_async_embedder_on_the_loop_that_awaits(docs: Collection) -> None:
    loops: set[Any] = set()
    most, running = 0, 0

    async def embed(texts: list[str]) -> np.ndarray:
        nonlocal most, running
        loops.add(asyncio.get_running_loop())
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return Counting()(texts)

    async def main() -> Any:
        report = await docs.arefresh(rows(80), embed=embed, batch_size=10)
        return report, asyncio.get_running_loop()

    report, loop = asyncio.run(main())
    assert (report.added, report.embedded, loops, most) == (80, 80, {loop}, 4)
    assert docs.refresh(rows(81), embed=embed).embedded == 1  # without a loop of one's own
    assert len(loops) == 2


def test_a_cancelled_refresh_keeps_what_was_finished(docs: Collection) -> None:
    async def embed(texts: list[str]) -> np.ndarray:
        await asyncio.sleep(0.01)
        return Counting()(texts)

    async def main() -> None:
        work = asyncio.create_task(docs.arefresh(rows(5000), embed=embed, batch_size=10))
        while len(docs) < 50:
            await asyncio.sleep(0.01)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work

    asyncio.run(main())
    there = len(docs)
    assert 50 <= there < 5000
    assert docs.refresh(rows(5000), embed=Counting()).embedded == 5000 - there


def test_times_to_wait_in_every_form() -> None:
    class Response:
        status_code = 429

        def __init__(self, **headers: str) -> None:
            self.headers = headers

    def wait(**headers: str) -> float | None:
        error = RuntimeError()
        error.response = Response(**{name.replace("_", "-"): value for name, value in headers.items()})  # type: ignore[attr-defined]
        return asked_to_wait(error)

    assert (wait(retry_after="7"), wait(retry_after_ms="250"), wait()) == (7.0, 0.25, 0.0)
    later = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert 25 < (wait(retry_after=later) or 0) <= 30
    assert asked_to_wait(RuntimeError()) is None
