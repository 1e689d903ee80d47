#!/usr/bin/env python3
"""Prints one short table of what scripts/gpu/check measured: `table.py RESULTS`, a folder with probe.json, and maybe coded.json
(weights of 4 bits) and peer.json.

probe.json is what `baton probe --out` writes: a list with a shape each, its rows of what, value, unit and maybe the share of
what the device can do. peer.json is as peer.py writes it: by model and way, tokens/s by number of sequences, and `prompt`.
"""

import json
import re
import sys
from pathlib import Path


def read(path, otherwise):
    """The content of a JSON file, or something else if it is not there or was cut off."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return otherwise


def plain(name):
    """A model's name without what is only a matter of writing."""
    return re.sub("[^a-z0-9]|of", "", name.lower())


def best(peer, shape, what):
    """The fastest way of the peer to what a row says, and its name."""
    decode = re.match(r"decode, (\d+) of", what)
    figure = decode[1] if decode else "prompt" if what.startswith("prompts of") else None
    ways = next((ways for model, ways in peer.get("models", {}).items() if plain(model) == plain(shape)), {})
    return max(((figures[figure], way) for way, figures in ways.items() if figure in figures), default=None)


def rows(probe, peer):
    """What was measured, Baton's figure, its unit, the share, the peer's figure, and how often that goes into Baton's."""
    for one in probe:
        for row in one["rows"]:
            value, share, found = row["value"], row.get("share"), best(peer, one["shape"], row["what"])
            theirs, ratio = (f"{found[0]:,.0f} {found[1]}", f"{value / found[0]:.2f} x") if found else ("", "")
            shown = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
            yield f"{one['shape']}: {row['what']}", shown, row["unit"], f"{share:.0%}" if share else "", theirs, ratio


def table(lines):
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    left = {0, 2}
    for line in lines:
        cells = (cell.ljust(width) if column in left else cell.rjust(width)
                 for column, (cell, width) in enumerate(zip(line, widths)))
        yield "  ".join(cells).rstrip()


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: table.py RESULTS")
    folder = Path(sys.argv[1])
    probe = read(folder / "probe.json", []) + read(folder / "coded.json", [])
    peer = read(folder / "peer.json", {})
    lines = list(rows(probe, peer))
    if not lines:
        sys.exit("nothing was measured")
    if "device" in peer:
        print(f"{probe[0]['device']}; the peer is {peer['peer']} on PyTorch {peer['torch']}, the fastest of its ways")
    print(*table([("figure", "Baton", "", "of best", "peer", "ratio"), *lines]), sep="\n")


if __name__ == "__main__":
    main()
