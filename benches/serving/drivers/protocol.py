"""What every driver does beside driving."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

from harness.load import Answer, Load


def answer_loads(start: Callable[[], Callable[[Load], list[Answer]]]) -> None:
    """Starts the engine, says `ready`, and performs every load that comes on standard input."""
    # The libraries may print what they like; only this driver speaks to the harness.
    speak = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    perform = start()
    print("ready", file=speak)
    for line in sys.stdin:
        print(json.dumps([answer.to_json() for answer in perform(Load.from_json(json.loads(line)))]), file=speak)
    speak.flush()
    # The libraries' own threads may be at work still; nothing of theirs is worth waiting for.
    os._exit(0)
