"""What is asked of an engine, and what came back: plain values, and their form as JSON for drivers."""

from __future__ import annotations

import dataclasses
from typing import Any

Message = dict[str, str]


@dataclasses.dataclass(frozen=True)
class Ask:
    """One chat request. Every engine is asked to go on to `max_tokens`, whatever the model would like."""

    messages: list[Message]
    max_tokens: int
    twin: str | None = None
    """The twin to cue, for an engine that knows twins; `messages` then holds no system message."""


@dataclasses.dataclass(frozen=True)
class Load:
    """Asks, taken in order by `conductors` who each wait for their answer before they take the next."""

    asks: list[Ask]
    conductors: int

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> Load:
        return Load([Ask(**ask) for ask in value["asks"]], value["conductors"])


@dataclasses.dataclass
class Answer:
    """What one ask got. Times are seconds since the load began."""

    began: float
    ended: float
    stamps: list[float]
    """When each piece of text arrived. A piece may hold several tokens."""
    tokens: int
    """Output tokens, as the engine counts them."""
    prompt_tokens: int
    error: str | None = None

    @property
    def first(self) -> float:
        """Seconds from the ask to the first text."""
        return self.stamps[0] - self.began

    @property
    def total(self) -> float:
        """Seconds from the ask to the end of the answer."""
        return self.ended - self.began

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> Answer:
        return Answer(**value)
