"""mistral.rs, through its Python package, in process."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

from .base import About, Bench, Driven, Engine, drive, virtual_environment

PACKAGE = "mistralrs==0.9.5"


class MistralRs(Engine):
    """The package has the engine but not the server; the driver spares it HTTP."""

    most_rounds = 1

    def prepare(self, bench: Bench) -> About:
        virtual_environment(bench, "mistralrs", PACKAGE)
        return About(
            PACKAGE,
            "Q4_1 GGUF",
            "in process, no HTTP; one request at a time, for its batched prompts fail",
            f"drivers/mistralrs.py $MODELS/{bench.model.name}",
        )

    @contextlib.contextmanager
    def start(self, bench: Bench, state: pathlib.Path) -> Iterator[Driven]:
        python = virtual_environment(bench, "mistralrs", PACKAGE)
        threads = {"RAYON_NUM_THREADS": str(bench.threads)}
        with drive(python, "mistralrs", [str(bench.model)], bench.log(self.name), env=threads) as driven:
            yield driven
