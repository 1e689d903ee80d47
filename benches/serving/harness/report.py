"""Results as Markdown."""

from __future__ import annotations

from typing import Any

from .measures import Row
from .results import advantage, best_peer, disturbed, rounds, rows_with_figures, table


def markdown(content: dict[str, Any]) -> str:
    """The whole report: where and when, the figures, what was compared, what was left out, what went wrong."""
    parts = [
        head(content),
        [""],
        figures(content),
        [""],
        engines(content),
        left_out(content),
        noise(content),
        faults(content),
    ]
    return "\n".join(line for part in parts for line in part)


def head(content: dict[str, Any]) -> list[str]:
    machine = content["machine"]
    return [
        f"Taken {content['date']} at commit {content['commit']}, {content['threads']} threads, "
        f"medians of {rounds(content)} rounds.",
        "",
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory'] / 2**30:.0f} GiB, "
        f"{machine['system']}; of the flags that matter: {', '.join(machine['flags'])}.",
    ]


def figures(content: dict[str, Any]) -> list[str]:
    """One line a row, one column an engine, the best peer in bold, and what Baton is to it."""
    found = table(content)
    labels = [content["engines"][name]["label"] for name in found]
    lines = [
        "| figure | " + " | ".join(labels) + " | Baton to the best peer |",
        "| --- | " + "--: | " * (len(found) + 1),
    ]
    for row in rows_with_figures(found):
        peer = best_peer(row, found)
        cells = [cell(row, one.get(row.id), name == peer) for name, one in found.items()]
        lines.append(f"| {row.title}, {row.unit} | {' | '.join(cells)} | {ratio(row, found, peer)} |")
    return lines


def cell(row: Row, value: float | None, best: bool) -> str:
    if value is None:
        return "–"
    text = number(value)
    return f"**{text}**" if best else text


def number(value: float) -> str:
    """Three digits that say something, and no more."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def ratio(row: Row, found: dict[str, dict[str, float]], peer: str | None) -> str:
    """Times better, from Baton asked as the peers are; where only its twins have the row, from those."""
    ours = found.get("baton", {}).get(row.id, found.get("baton-twins", {}).get(row.id))
    if ours is None or peer is None:
        return "–"
    return f"{advantage(row, ours, found[peer][row.id]):.2f} ×"


def engines(content: dict[str, Any]) -> list[str]:
    lines = ["| engine | version | weights | how | started with |", "| --- | --- | --- | --- | --- |"]
    for engine in content["engines"].values():
        if engine["cells"]:
            about = engine["about"]
            fields = [engine["label"], about["version"], about["weights"], about["how"], f"`{about['command']}`"]
            lines.append(f"| {' | '.join(fields)} |")
    return lines


def left_out(content: dict[str, Any]) -> list[str]:
    missing = [engine for engine in content["engines"].values() if engine.get("unavailable")]
    if not missing:
        return []
    return ["", "Left out:", "", *(f"* {engine['label']}: {engine['unavailable']}" for engine in missing)]


def noise(content: dict[str, Any]) -> list[str]:
    """The cells that were measured while others used the machine."""
    lines = [
        f"* {engine['label']}, round {name}: others used {cell['facts']['others']:.0%} of the machine"
        for engine in content["engines"].values()
        for name, cell in engine["cells"].items()
        if disturbed(cell)
    ]
    return ["", "Disturbed, and to be measured again:", "", *lines] if lines else []


def faults(content: dict[str, Any]) -> list[str]:
    """What was not as asked, counted by engine and with the first of each."""
    lines = []
    for engine in content["engines"].values():
        found = [fault for cell in engine["cells"].values() for fault in cell["faults"]]
        if found:
            lines.append(f"* {engine['label']}: {len(found)} answers were not as asked, the first: {found[0]}")
    return ["", "Not as asked:", "", *lines] if lines else []
