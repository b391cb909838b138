"""Draws recall against queries per second from the results of a comparison.

python -m bench.plot RESULTS.json… draws stored results anew, each beside its file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def draw(results: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panes = plt.subplots(1, 2, figsize=(14, 5.5), sharey=False)
    titles = {"qps_one": "one query at a time, one thread", "qps_batch": f"batched, {results['threads']} threads"}
    for pane, (key, title) in zip(panes, titles.items(), strict=True):
        for name, library in results["libraries"].items():
            points = [(point["recall"], point[key]) for point in library.get("curve", []) if point[key]]
            points = [point for point in points if point[0] >= 0.8]
            if points:
                ours = name.startswith("lamina")
                pane.plot(
                    *zip(*points, strict=True), marker="o", markersize=3, label=name, linewidth=2.2 if ours else 1.2
                )
        pane.set_yscale("log")
        pane.set_xlabel(f"recall@{results['k']}")
        pane.set_ylabel("queries per second")
        pane.set_title(title)
        pane.grid(True, which="both", alpha=0.3)
    panes[0].legend(fontsize=8)
    data = results["data"]
    figure.suptitle(f"{data['name']}: {data['rows']:,} × {data['dim']}, {data['metric']} ({results['machine']['cpu']})")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        draw(json.loads(file.read_text()), file.with_suffix(".png"))
