"""OpenVINO GenAI's continuous-batching pipeline with its prefix cache, in process."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

from .base import About, Bench, Driven, Engine, drive, virtual_environment

PACKAGE = "openvino-genai==2026.4.1.0"


class OpenVino(Engine):
    """It has no server of its own and reads GGUF itself; the driver spares it HTTP and a client."""

    def prepare(self, bench: Bench) -> About:
        virtual_environment(bench, "openvino", PACKAGE)
        return About(
            PACKAGE, "the Q4_1 GGUF, as its own reader takes it", "in process, no HTTP",
            f"drivers/openvino.py $MODELS/{bench.model.name} {bench.threads}",
        )  # fmt: skip

    @contextlib.contextmanager
    def start(self, bench: Bench, state: pathlib.Path) -> Iterator[Driven]:
        python = virtual_environment(bench, "openvino", PACKAGE)
        with drive(python, "openvino", [str(bench.model), str(bench.threads)], bench.log(self.name)) as driven:
            yield driven
