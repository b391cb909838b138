"""The table of what a refresh embeds: lamina's column is as promised, whether or not another library is there."""

from __future__ import annotations

from bench import refresh


def test_the_column_of_lamina() -> None:
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in refresh.table()]
    assert header[1].startswith("lamina")
    assert {row[0]: row[1] for row in rows} == {
        "nothing changed, incremental": "10, 0, 0 embedded",
        "nothing changed, full within the source": "10, 0, 0 embedded",
        "only metadata changed": "0 of 10 embedded",
        "another model of the same dimension": "refused",
        "the store was emptied": "10 of 10 there again",
        "the embedder fails": "10 of 10 still there",
    }
