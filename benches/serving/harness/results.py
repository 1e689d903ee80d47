"""The results of a run: rounds of figures by engine, kept in one JSON file that grows cell by cell."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from . import statistics
from .measures import ROWS, Row

FORMAT = 1
OTHERS_ALLOWED = 0.05
"""The share of the machine's cores that others may use."""


class Results:
    """A cell is what one round measured of one part of the benchmark on one engine: `values`, `facts` and `faults`."""

    def __init__(self, path: pathlib.Path, content: dict[str, Any]) -> None:
        self.path = path
        self.content = content

    @staticmethod
    def open(path: pathlib.Path, head: dict[str, Any]) -> Results:
        """Goes on with the file if it is there; what is fixed for a run must then be the same."""
        if not path.exists():
            return Results(path, {"format": FORMAT, **head, "engines": {}})
        content = json.loads(path.read_text(encoding="utf-8"))
        for name in ("format", "commit", "threads", "sizes"):
            wanted = {"format": FORMAT, **head}[name]
            if content[name] != wanted:
                raise ValueError(f"{path} was begun with {name} {content[name]!r}, not {wanted!r}: name another --out")
        return Results(path, content)

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.rename(self.path)

    def engine(self, name: str) -> dict[str, Any]:
        """What is known of an engine, made on first use."""
        engine: dict[str, Any] = self.content["engines"].setdefault(name, {"cells": {}})
        return engine

    def has(self, name: str, cell: str) -> bool:
        """Whether it was measured, and on a quiet machine: going on with a run takes the other cells again."""
        found = self.engine(name)["cells"].get(cell)
        return found is not None and not disturbed(found)

    def put(self, name: str, cell: str, content: dict[str, Any]) -> None:
        self.engine(name)["cells"][cell] = content


def disturbed(cell: dict[str, Any]) -> bool:
    """Whether other processes used so much of the machine that the figures say little."""
    others: float = cell["facts"].get("others", 0)
    return others > OTHERS_ALLOWED


def cell_name(round_: int, part: str) -> str:
    return f"{round_} {part}"


def rounds(content: dict[str, Any]) -> int:
    """How many rounds there were of the engine that had most."""
    return max((int(cell.split()[0]) for engine in content["engines"].values() for cell in engine["cells"]), default=0)


def medians(engine: dict[str, Any]) -> dict[str, float]:
    """Every row's median over the rounds that have it."""
    found: dict[str, list[float]] = {}
    for cell in engine["cells"].values():
        for row, value in cell["values"].items():
            found.setdefault(row, []).append(value)
    return {row: statistics.median(values) for row, values in found.items()}


def is_peer(name: str) -> bool:
    return not name.startswith("baton")


def best_peer(row: Row, table: dict[str, dict[str, float]]) -> str | None:
    """The peer with the best figure in a row, of those that have one."""
    values = {name: figures[row.id] for name, figures in table.items() if is_peer(name) and row.id in figures}
    if not values:
        return None
    return (max if row.higher_is_better else min)(values, key=lambda name: values[name])


def advantage(row: Row, ours: float, theirs: float) -> float:
    """How many times better ours is: above 1 is better, whichever way the row counts."""
    return ours / theirs if row.higher_is_better else theirs / ours


def table(content: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Medians by engine, for the engines that have any; Baton comes first."""
    found = {name: medians(content["engines"][name]) for name in sorted(content["engines"], key=is_peer)}
    return {name: figures for name, figures in found.items() if figures}


def rows_with_figures(figures: dict[str, dict[str, float]]) -> list[Row]:
    return [row for row in ROWS if any(row.id in one for one in figures.values())]
