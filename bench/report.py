"""The results of a comparison as Markdown."""

from __future__ import annotations

from typing import Any


def markdown(results: dict[str, Any]) -> str:
    data, machine = results["data"], results["machine"]
    lines = [
        f"## {data['name']}: {data['rows']:,} × {data['dim']}, {data['metric']}, k = {results['k']}",
        "",
        f"{machine['cpu']}, {results['threads']} threads, {machine['system']}, Python {machine['python']}; "
        f"{results['pairs']} pairs of {results['seconds']} s; median (10–90 % range). Ratios above 1 favour lamina.",
        "",
        *rates(results),
        "",
        *costs(results),
    ]
    return "\n".join(lines) + "\n"


def rates(results: dict[str, Any]) -> list[str]:
    """Queries per second of lamina over each other library's, at equal recall."""
    asked = sorted({key for library in results["libraries"].values() for key in library.get("ratios", {})}, key=order)
    if not asked:
        return ["Rates were not compared."]
    head = [f"{'one at a time' if key.startswith('one') else 'batched'} @{key.split('@')[1]}" for key in asked]
    lines = ["| library | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for name, library in results["libraries"].items():
        if "ratios" in library:
            label = f"{name} {library['version']}" + (" (as a share of lamina)" if name == "lamina-collection" else "")
            lines.append(f"| {label} | " + " | ".join(rate(library["ratios"].get(key)) for key in asked) + " |")
    lines += [
        "",
        "≥: lamina, ≤: the other already finds more than was asked at its least breadth, whose rate stands in.",
    ]
    return lines


def order(key: str) -> tuple[bool, float]:
    mode, recall = key.split("@")
    return mode != "one", float(recall)


def rate(ratio: dict[str, Any] | None) -> str:
    if ratio is None:
        return "–"
    first, second = ratio["understated"]
    bound = "≈" if first and second else "≥ " if first else "≤ " if second else ""
    return f"{bound}{spread(ratio)}; {ratio['qps']:,.0f} / {ratio['other_qps']:,.0f} QPS"


def spread(ratio: dict[str, Any]) -> str:
    return f"**{ratio['median']:.2f}×** ({ratio['low']:.2f}–{ratio['high']:.2f})"


def costs(results: dict[str, Any]) -> list[str]:
    """What it takes to build, open and hold each library's index."""
    lines = [
        "| library | build s | file MB | open to 1st answer ms | to 100 answers ms | memory MB | compiled code |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, library in results["libraries"].items():
        cells = [
            f"{name} {library['version']}",
            number(library, "build_seconds", "build_ratio", 1, " of hnswlib's"),
            number(library, "file_megabytes", "", 1),
            number(library, "open_first_ms", "open_first_ratio", 2, " of lamina's"),
            number(library, "open_hundred_ms", "open_hundred_ratio", 2, " of lamina's"),
            number(library, "memory_megabytes", "", 1),
            library["flags"],
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def number(library: dict[str, Any], key: str, ratio: str, digits: int, against: str = "") -> str:
    if key not in library:
        return "–"
    text = f"{library[key]:,.{digits}f}"
    return f"{text}; {spread(library[ratio])}{against}" if ratio in library else text
