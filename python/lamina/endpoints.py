"""Embedding services over HTTP: `openai:NAME`, of any endpoint that speaks OpenAI's protocol."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import httpx


class OpenAIEmbedder:
    """`POST {base_url}/embeddings`: OpenAI, and the many servers that do as it does.

    Args:
        name: of the model, as the service knows it.
        base_url, key: where, and the secret; None: `OPENAI_BASE_URL` and `OPENAI_API_KEY` of the environment, read at
            the first call. A local server may want no key.
        dimensions: of the vectors, where the service can shorten them.
        max_batch, max_batch_tokens: of one request.
        price: of a million tokens, for `dry_run` and `budget`.
        timeout: seconds for one request.

    Calls raise httpx.HTTPStatusError, with what the service said, TimeoutError and ConnectionError.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        key: str | None = None,
        dimensions: int | None = None,
        max_batch: int = 256,
        max_batch_tokens: int = 100_000,
        price: float | None = None,
        timeout: float = 60.0,
    ) -> None:
        self.name = name
        self.max_batch = max_batch
        self.max_batch_tokens = max_batch_tokens
        self.price = price
        self._place = (base_url, key)
        self._dimensions = dimensions
        self._timeout = timeout
        self._client: httpx.Client | None = None
        self._pid = 0

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        body: dict[str, Any] = {"model": self.name, "input": list(texts), "encoding_format": "float"}
        if self._dimensions is not None:
            body["dimensions"] = self._dimensions
        return _vectors(self._post(body), len(texts))

    def __repr__(self) -> str:
        return f"OpenAIEmbedder({self.name!r})"

    def _post(self, body: dict[str, Any]) -> Any:
        client = self._connected()
        import httpx

        try:
            response = client.post("embeddings", json=body)
        except httpx.TimeoutException as error:
            raise TimeoutError(f"no answer from {client.base_url} within {self._timeout:g} s") from error
        except httpx.TransportError as error:
            raise ConnectionError(f"cannot reach {client.base_url}: {error}") from error
        if response.is_success:
            return response.json()
        said = " ".join(response.text[:500].split())
        raise httpx.HTTPStatusError(
            f"status {response.status_code} from {client.base_url}: {said}", request=response.request, response=response
        )

    def _connected(self) -> httpx.Client:
        if self._client is None or self._pid != os.getpid():  # connections are not for two processes
            try:
                import httpx
            except ImportError as error:
                raise ImportError(
                    f'openai:{self.name} needs the httpx package: pip install "lamina[openai]"'
                ) from error
            base_url = self._place[0] or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
            key = self._place[1] or os.environ.get("OPENAI_API_KEY")
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            self._client = httpx.Client(base_url=base_url, headers=headers, timeout=self._timeout)
            self._pid = os.getpid()
        return self._client


def _vectors(reply: Any, count: int) -> NDArray[np.float32]:
    """The vectors of a reply, in the order of the texts. ValueError for a reply of another form."""
    try:
        entries = sorted(reply["data"], key=lambda entry: entry["index"])
        indices = [entry["index"] for entry in entries]
        rows = [entry["embedding"] for entry in entries]
        if indices != list(range(count)):
            raise ValueError(f"{len(indices)} vectors for {count} texts")
        if len({len(row) for row in rows}) != 1:
            raise ValueError("vectors of different lengths")
        return np.array(rows, np.float32)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the reply is no list of embeddings: {error!r}") from error
