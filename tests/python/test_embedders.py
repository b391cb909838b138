"""Embedders by name.

Goal: `hash:DIM` gives the same bits everywhere, of unit length, near for texts that share words; specs bind what they
name. Method: digests that were written down, one text at a time against many at once, hostile texts.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import types

import numpy as np
import pytest

from lamina import Model, embedder
from lamina.embedders import HashEmbedder, is_spec

TEXTS = [
    "The quick brown fox jumps over the lazy dog.", "the quick brown fox", "", " \n\t!?", "naïve café ÀÉÎ",
    "Добрый день, МИР", "東京タワーに登る", "🙂🙂", "a", "x" * 10_000, "word " * 500, "C++ and C#",
    "\ud800 lone surrogate",
    "null\0inside", "don't stop", "123 456.789",
]  # fmt: skip
DIGEST = "f9a2ed4deba20f4406917c96e6023002fa073c827f73d00324ee0891b8302ac1"


def test_the_bits_never_change() -> None:
    vectors = HashEmbedder(64)(TEXTS)
    assert hashlib.sha256(vectors.astype("<f4").tobytes()).hexdigest() == DIGEST


def test_another_process_gives_the_same_bits() -> None:
    script = "import sys, lamina; sys.stdout.write(lamina.embedder('hash:96')(['some text', 'more']).tobytes().hex())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == embedder("hash:96")(["some text", "more"]).tobytes().hex()


def test_a_text_does_not_depend_on_its_neighbours() -> None:
    embed = HashEmbedder(128)
    texts = TEXTS * 40
    together = embed(texts)
    for at, text in enumerate(TEXTS):
        np.testing.assert_array_equal(embed([text])[0], together[at])
        np.testing.assert_array_equal(together[at], together[at + 39 * len(TEXTS)])


def test_vectors_have_unit_length_or_none() -> None:
    lengths = np.linalg.norm(HashEmbedder(384)(TEXTS), axis=1)
    empty = [not any(letter.isalnum() or ord(letter) > 0xD000 for letter in text) for text in TEXTS]
    np.testing.assert_allclose(lengths, np.where(empty, 0, 1), atol=1e-6)


def test_case_and_punctuation_do_not_matter_and_words_do() -> None:
    one, same, other = HashEmbedder(384)(["Hello, WORLD ÉTÉ", "hello world été", "goodbye moon hiver"])
    np.testing.assert_array_equal(one, same)
    assert one @ other < 0.3


def test_texts_that_share_words_or_parts_of_words_are_nearer() -> None:
    embed = HashEmbedder(384)
    query, same_word, same_stem, none = embed(
        ["reading compressed files", "compressed archives", "compression of a file", "a young person sang"]
    )
    assert query @ same_word > 0.2
    assert query @ same_stem > 0.2
    assert abs(query @ none) < 0.15


def test_repeating_a_word_counts_less_each_time() -> None:
    once, twice, thrice = HashEmbedder(2048)(["cat dog", "cat cat dog", "cat cat cat dog"])
    cat = HashEmbedder(2048)(["cat"])[0]
    assert once @ cat < twice @ cat < thrice @ cat
    assert thrice @ cat - twice @ cat < twice @ cat - once @ cat


def test_a_limit_of_words_cuts() -> None:
    short = Model("hash:64", max_tokens=2).embed(["one two three four", "one two"])
    np.testing.assert_array_equal(short[0], short[1])
    assert (Model("hash:64").embed(["one two three four"])[0] != short[0]).any()


def test_many_texts_take_seconds() -> None:
    import time

    texts = [f"record number {at} about subject {at % 97} and some more words to read" for at in range(10_000)]
    started = time.perf_counter()
    assert HashEmbedder(384)(texts).shape == (10_000, 384)
    assert time.perf_counter() - started < 20  # about 0.4 on one idle core


@pytest.mark.parametrize(
    "spec", ["hash:", "hash:0", "hash:-1", "hash:x", "hash:99999", "nothing", "", "a b:c", ":f", "m:"]
)
def test_specs_that_name_nothing_are_refused(spec: str) -> None:
    with pytest.raises(ValueError, match="hash:DIM"):
        embedder(spec)


def test_a_spec_of_a_callable_imports_it_on_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("some_embedders")
    module.Made = type("Made", (), {"embed": staticmethod(lambda texts: np.ones((len(texts), 4)))})  # type: ignore[attr-defined]
    embed = embedder("some_embedders:Made.embed")
    with pytest.raises(ModuleNotFoundError):
        embed(["a"])
    monkeypatch.setitem(sys.modules, "some_embedders", module)
    assert embed(["a", "b"]).shape == (2, 4)
    assert Model("some_embedders:Made.embed", dim=4).embed(["a"]).shape == (1, 4)
    with pytest.raises(ImportError, match="no attribute 'Other'"):
        embedder("some_embedders:Other")(["a"])


def test_a_callable_behind_a_spec_keeps_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("limited_embedders")
    module.bare = lambda texts: texts  # type: ignore[attr-defined]
    module.limited = lambda texts: texts  # type: ignore[attr-defined]
    module.limited.max_batch = 7  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "limited_embedders", module)
    assert embedder("limited_embedders:limited").max_batch == 7  # type: ignore[attr-defined]
    assert not hasattr(embedder("limited_embedders:bare"), "max_batch")
    assert not hasattr(embedder("limited_embedders:limited"), "dim")


def test_an_endpoint_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(ImportError, match="pip install"):
        embedder("openai:small")(["a"])


def test_sentence_transformers_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ImportError, match="pip install"):
        embedder("sentence-transformers:all-MiniLM-L6-v2")(["a"])


def test_sentence_transformers_are_called_as_they_want(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fake:
        max_seq_length = 512

        def __init__(self, name: str) -> None:
            self.name = name

        def get_sentence_embedding_dimension(self) -> int:
            return 5

        def encode(self, texts: list[str], **options: object) -> np.ndarray:
            assert options == {"convert_to_numpy": True, "show_progress_bar": False}
            return np.full((len(texts), 5), self.max_seq_length, np.float32)

    module = types.ModuleType("sentence_transformers")
    module.SentenceTransformer = Fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    model = Model("sentence-transformers:tiny", max_tokens=16)
    assert model.dim == 5
    assert (model.embed(["a", "b"]) == 16).all()


def test_names_that_are_specs() -> None:
    assert is_spec("hash:8")
    assert is_spec("package.module:call")
    assert is_spec("sentence-transformers:x/y")
    assert not is_spec("all-MiniLM-L6-v2")


def test_a_stored_model_of_another_algorithm_is_not_bound_to_this_one() -> None:
    assert Model("hash:64").embed_with is not None
    assert Model("hash:64", revision="0", dim=64).embed_with is None
