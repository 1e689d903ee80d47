"""What is measured of one started engine, and how one round's figures come about."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

from . import statistics
from .load import Answer, Load
from .packs import Pack
from .prompts import cold_load, decode_load, twin_load, warm_load


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure: its name in the results, how people read it, and which way is better."""

    id: str
    title: str
    unit: str
    higher_is_better: bool = True


ROWS = (
    Row("twin16_rate", "twin workload, 16 conductors: output", "tokens/s"),
    Row("twin16_first_p50", "– first token, p50", "s", False),
    Row("twin16_first_p95", "– first token, p95", "s", False),
    Row("twin16_total_p50", "– whole answer, p50", "s", False),
    Row("twin16_again_rate", "16 conductors again, new questions: output", "tokens/s"),
    Row("twin16_again_first_p95", "– first token, p95", "s", False),
    Row("twin4_rate", "4 conductors: output", "tokens/s"),
    Row("twin4_first_p95", "– first token, p95", "s", False),
    Row("twin1_rate", "1 conductor: output", "tokens/s"),
    Row("twin1_first_p50", "– first token, p50", "s", False),
    Row("twin1_first_p95", "– first token, p95", "s", False),
    Row("decode16", "16 sequences, short context, decode", "tokens/s"),
    Row("decode1", "one sequence, short context, decode", "tokens/s"),
    Row("cold_prompt", "cold prompt of about 512 tokens", "tokens/s"),
    Row("cold_pack", "first cue of a pack that nobody computed: first token", "s", False),
    Row("restart_pack", "first cue of a pack after a restart: first token", "s", False),
    Row("start", "start until ready", "s", False),
    Row("restart", "restart until ready", "s", False),
    Row("peak_resident", "peak resident memory under the twin workload", "MB", False),
)


PARTS = ("twins", "raw")
"""The parts of the benchmark, in the order in which a freshly started engine is asked."""


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much is asked in one round."""

    asks16: int = 32
    asks4: int = 12
    asks1: int = 4
    decode_tokens: int = 64
    cold_prompts: int = 2
    again: bool = False


SIZES = {
    "quick": Sizes(asks16=16, asks4=4, asks1=2, decode_tokens=32, cold_prompts=1),
    "normal": Sizes(),
    "long": Sizes(asks4=32, asks1=16, decode_tokens=256, cold_prompts=5, again=True),
}


class Session(Protocol):
    """A started engine."""

    start_seconds: float

    def perform(self, load: Load) -> list[Answer]: ...

    def peak_resident(self) -> int: ...


class Figures:
    """One round's figures of one engine, and all that was not as asked."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.faults: list[str] = []
        self.facts: dict[str, float] = {}

    def to_json(self) -> dict[str, Any]:
        return {"values": self.values, "facts": self.facts, "faults": self.faults}

    def ask(self, session: Session, load: Load, name: str) -> list[Answer]:
        """The answers that can be counted."""
        answers = session.perform(load)
        self.faults += [f"{name}: {fault}" for fault in statistics.faults(load, answers)]
        return statistics.good(answers)

    def put(self, row: str, answers: list[Answer], figure: Callable[[list[Answer]], float | None]) -> None:
        """Notes the figure, unless no answer can be counted."""
        value = figure(answers) if answers else None
        if value is not None:
            self.values[row] = value


def first(percent: float) -> Callable[[list[Answer]], float]:
    return lambda answers: statistics.percentile([answer.first for answer in answers], percent)


def measure_twins(figures: Figures, session: Session, packs: list[Pack], sizes: Sizes, twins: bool, salt: str) -> None:
    """The twin workload, after one warm-up question a pack."""
    warm = figures.ask(session, warm_load(packs, as_twin=twins, salt=(salt, "warm")), "warm-up")
    figures.put("cold_pack", warm, first(50))
    if warm:
        figures.facts["pack_prompt_tokens"] = statistics.median([answer.prompt_tokens for answer in warm])
    parts = [("twin16", 16, sizes.asks16), ("twin4", 4, sizes.asks4), ("twin1", 1, sizes.asks1)]
    if sizes.again:
        parts.insert(1, ("twin16_again", 16, sizes.asks16))
    for name, conductors, asks in parts:
        load = twin_load(packs, conductors, asks, as_twin=twins, salt=(salt, name))
        answers = figures.ask(session, load, name)
        figures.put(f"{name}_rate", answers, statistics.throughput)
        figures.put(f"{name}_first_p50", answers, first(50))
        figures.put(f"{name}_first_p95", answers, first(95))
        figures.put(f"{name}_total_p50", answers, lambda these: statistics.median([one.total for one in these]))
    figures.values["peak_resident"] = session.peak_resident() / 1e6


def measure_restart(figures: Figures, session: Session, packs: list[Pack], twins: bool, salt: str) -> None:
    """The first cue of every pack, by an engine that was started again with what it kept."""
    figures.values["restart"] = session.start_seconds
    load = warm_load(packs, as_twin=twins, salt=(salt, "restart"))
    figures.put("restart_pack", figures.ask(session, load, "restart"), first(50))


def measure_raw(figures: Figures, session: Session, sizes: Sizes, salt: str) -> None:
    """Decoding and prompts without packs."""
    for row, sequences in (("decode1", 1), ("decode16", 16)):
        answers = figures.ask(session, decode_load(sequences, sizes.decode_tokens, salt), row)
        figures.put(row, answers if len(answers) == sequences else [], statistics.decode_rate)
    cold = figures.ask(session, cold_load(sizes.cold_prompts, salt), "cold_prompt")
    figures.put("cold_prompt", cold, lambda these: statistics.median([statistics.prompt_rate(one) for one in these]))
    if cold:
        figures.facts["cold_prompt_tokens"] = statistics.median([answer.prompt_tokens for answer in cold])
