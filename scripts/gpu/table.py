#!/usr/bin/env python3
"""Prints one short table of what scripts/gpu/check measured: `table.py RESULTS`, a folder with bench.json and maybe peer.json.

bench.json has `models`: by name `decode` (tokens/s by number of sequences) and `prompt` (tokens/s); and `figures`: a list of
`name`, `value`, `unit` for all else. peer.json is as peer.py writes it: by model and way the same figures.
"""

import json
import sys
from pathlib import Path


def read(path):
    """The content of a JSON file, or nothing if it is not there or was cut off."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def best(peer, model, figure):
    """The fastest way of the peer to a figure, and its name."""
    ways = peer.get("models", {}).get(model, {})
    found = [(figures[figure], way) for way, figures in ways.items() if figure in figures]
    return max(found, default=(None, ""))


def rows(bench, peer):
    """What was measured, the unit, Baton's figure, the peer's, and how often the one goes into the other."""
    for model, figures in bench.get("models", {}).items():
        wanted = [(f"decode at {count}", count, value) for count, value in figures.get("decode", {}).items()]
        if "prompt" in figures:
            wanted.append(("prompts", "prompt", figures["prompt"]))
        for what, key, value in wanted:
            other, way = best(peer, model, key)
            theirs = f"{other:,.0f} {way}" if other else "-"
            yield f"{model}, {what}", "tokens/s", f"{value:,.0f}", theirs, f"{value / other:.2f} x" if other else "-"
    for one in bench.get("figures", []):
        yield one["name"], one["unit"], f"{one['value']:,.3g}", "-", "-"


def table(lines):
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    left = {0, 1}
    for line in lines:
        cells = (cell.ljust(width) if column in left else cell.rjust(width)
                 for column, (cell, width) in enumerate(zip(line, widths)))
        yield "  ".join(cells).rstrip()


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: table.py RESULTS")
    folder = Path(sys.argv[1])
    bench, peer = read(folder / "bench.json"), read(folder / "peer.json")
    lines = list(rows(bench, peer))
    if not lines:
        sys.exit("nothing was measured")
    print(*table([("figure", "unit", "Baton", peer.get("peer", "peer"), "ratio"), *lines]), sep="\n")


if __name__ == "__main__":
    main()
