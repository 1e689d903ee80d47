"""Figures from answers, and medians from rounds."""

from __future__ import annotations

from collections.abc import Sequence

from .load import Answer, Load


def percentile(values: Sequence[float], percent: float) -> float:
    """Interpolated linearly between the two nearest ranks, as numpy does. `values` must not be empty."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def median(values: Sequence[float]) -> float:
    return percentile(values, 50)


def faults(load: Load, answers: Sequence[Answer]) -> list[str]:
    """One sentence for every answer that failed, is empty or has not the length that was asked for."""
    found = []
    for number, (ask, answer) in enumerate(zip(load.asks, answers, strict=True)):
        if answer.error:
            found.append(f"ask {number}: {answer.error}")
        elif not answer.stamps:
            found.append(f"ask {number}: no text came")
        elif answer.tokens != ask.max_tokens:
            found.append(f"ask {number}: {answer.tokens} tokens came, {ask.max_tokens} were asked for")
    return found


def good(answers: Sequence[Answer]) -> list[Answer]:
    """Those with text and without an error."""
    return [answer for answer in answers if answer.stamps and not answer.error]


def throughput(answers: Sequence[Answer]) -> float:
    """Output tokens a second, from the first ask to the end of the last answer."""
    return sum(answer.tokens for answer in answers) / max(answer.ended for answer in answers)


def decode_rate(answers: Sequence[Answer]) -> float | None:
    """Tokens a second of all answers together while every one of them is being written, so without any prompt.

    None if they were never all being written at once.
    """
    begin = max(answer.stamps[0] for answer in answers)
    end = min(answer.stamps[-1] for answer in answers)
    if end <= begin:
        return None
    pieces = sum(begin < stamp <= end for answer in answers for stamp in answer.stamps)
    tokens_a_piece = sum(answer.tokens for answer in answers) / sum(len(answer.stamps) for answer in answers)
    return pieces * tokens_a_piece / (end - begin)


def prompt_rate(answer: Answer) -> float:
    """Prompt tokens a second, until the first text."""
    return answer.prompt_tokens / answer.first
