#!/usr/bin/env python3
"""Prints one short table of what scripts/gpu/check measured: `table.py RESULTS`, a folder with what its steps wrote.

PROBES are what `baton probe --out` writes: a list with a shape each, its rows of what, value, unit and maybe the share of what
the device can do. model.json and memory.json are of `baton bench --json`, serve.json of benches/serving/crowd. peer.json is as
peer.py writes it: by model and way, tokens/s by number of sequences, and `prompt`.
"""

import json
import re
import sys
from pathlib import Path

PROBES = ["probe", "coded", "experts", "coded-experts", "wide", "moves"]
# What a row is to reach on one H100: of whose shape and what, of its value or of its share of the best, at least or at most.
AIMS = [
    ("Llama3Of8B$", "decode, 1 of", "share", ">=", 0.70),
    ("Llama3Of8B$", "waiting for the host", "value", "<=", 10),
    ("Llama3Of8B without cascade", "twins with cascade", "value", ">=", 200),
    ("(Llama3Of8B|Qwen3Of06B)$", "without adapters, 8 of", "value", ">=", 85),
    ("Llama3Of8B$", "draws from .*, greedy", "value", "<=", 60),
    ("Llama3Of8B$", "draws from .*, top-p", "value", "<=", 300),
    ("memory", "GPU's memory", "value", "<=", 100),
    ("memory", "cache", "value", ">=", 95),
]
# What is in the JSON, but would make the table long: of whose shape, and what.
LEFT_OUT = [(r"(?!Llama3Of8B( \(small\))?$)", "draws from|copies within|product of"), (".*without graphs", "^(?!decode)")]


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


def aim(shape, what, value, share):
    """What a row is to reach, and whether it does not; nothing if it is only told."""
    for whose, which, of, sign, wanted in AIMS:
        if re.match(whose, shape) and re.search(which, what):
            found = value if of == "value" else share
            missed = found is None or (found < wanted if sign == ">=" else found > wanted)
            return f"{sign} {wanted:.0%}" if of == "share" else f"{sign} {wanted:g}", "missed" if missed else ""
    return "", ""


def of_bench(folder):
    """Rows of the real model through the engine and through HTTP, like those of a probe."""
    for figure in read(folder / "model.json", {}).get("figures", []):
        yield "model", f"{figure['name']}, {figure['sequences']}", figure["median"], figure["unit"]
    for one in read(folder / "serve.json", []):
        yield "serve", f"{one['conductors']} conductors over HTTP", one["tokens_per_second"], "tokens/s"
        yield "serve", f"– first token, p95, {one['failed']} failed", one["first_token_p95"] * 1000, "ms"
    full = read(folder / "memory.json", {}).get("full")
    if full:
        yield "memory", "of the cache, in use at most", full["cache_share"] * 100, "%"
        if full["gpu_allowed_bytes"]:
            used, allowed = full["gpu_used_bytes"], full["gpu_allowed_bytes"]
            yield "memory", f"of the GPU's memory that is allowed ({allowed / 2**30:.1f} GiB), in use", 100 * used / allowed, "%"


def rows(folder, peer):
    """What was measured, Baton's figure, its unit, the share, the aim, the peer's figure, and how often that goes into Baton's."""
    measured = [
        (one["shape"], row["what"], row["value"], row["unit"], row.get("share"))
        for name in PROBES
        for one in read(folder / f"{name}.json", [])
        for row in one["rows"]
    ]
    for shape, what, value, unit, share in [*measured, *((*row, None) for row in of_bench(folder))]:
        if any(re.match(whose, shape) and re.search(which, what) for whose, which in LEFT_OUT):
            continue
        found = best(peer, shape, what)
        theirs, ratio = (f"{found[0]:,.0f} {found[1]}", f"{value / found[0]:.2f} x") if found else ("", "")
        shown = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        wanted, missed = aim(shape, what, value, share)
        yield f"{shape}: {what}", shown, unit, "" if share is None else f"{share:.0%}", wanted, missed, theirs, ratio


def table(lines):
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    left = {0, 2, 5}
    for line in lines:
        cells = (cell.ljust(width) if column in left else cell.rjust(width)
                 for column, (cell, width) in enumerate(zip(line, widths)))
        yield "  ".join(cells).rstrip()


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: table.py RESULTS")
    folder = Path(sys.argv[1])
    peer = read(folder / "peer.json", {})
    lines = list(rows(folder, peer))
    if not lines:
        sys.exit("nothing was measured")
    if "device" in peer:
        print(f"{peer['device']}; the peer is {peer['peer']} on PyTorch {peer['torch']}, the fastest of its ways")
    print(*table([("figure", "Baton", "", "of best", "aim", "", "peer", "ratio"), *lines]), sep="\n")


if __name__ == "__main__":
    main()
