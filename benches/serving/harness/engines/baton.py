"""Baton itself."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import re
import subprocess
from collections.abc import Iterator

from ..client import Endpoint
from .base import About, Bench, Engine, Served, Unavailable, free_port, get, serve, shown

KEY = re.compile(r"baton_[0-9A-Za-z]+_[0-9A-Za-z_-]{16,}")


class Baton(Engine):
    """Asked either as a plain server, with each pack's text in the messages as for every peer, or by its twins."""

    def __init__(self, name: str, label: str, *, as_twins: bool) -> None:
        super().__init__(name, label)
        self.as_twins = as_twins
        self.survives_restart = as_twins
        if as_twins:
            self.parts = ("twins",)

    def command(self, bench: Bench, state: pathlib.Path, port: int) -> list[str]:
        return [
            str(bench.baton), "serve", "--model", str(bench.model), "--cache", str(state / "cache"),
            "--data", str(state / "data"), "--packs", str(bench.packs), "--threads", str(bench.threads),
            "--listen", f"127.0.0.1:{port}", "--log", "warn",
        ]  # fmt: skip

    def prepare(self, bench: Bench) -> About:
        if not bench.baton.is_file():
            raise Unavailable(f"there is no {bench.baton}: build it with `cargo build --release --locked --bin baton`")
        version = subprocess.run([bench.baton, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        command = shown(self.command(bench, bench.cache / "state", 8000), bench)
        return About(version, "Q4_1 GGUF", "HTTP server", command)

    @contextlib.contextmanager
    def start(self, bench: Bench, state: pathlib.Path) -> Iterator[Served]:
        (state / "cache").mkdir(exist_ok=True)
        key = self.key(bench, state)
        endpoint = Endpoint(free_port(), "", key, {"ignore_eos": True})
        command = self.command(bench, state, endpoint.port)
        with serve(command, bench.log(self.name), endpoint, "/ready") as served:
            served.endpoint = dataclasses.replace(endpoint, model=base_model(endpoint))
            yield served

    @staticmethod
    def key(bench: Bench, state: pathlib.Path) -> str:
        """The key of the one client that plays all conductors, made once per state."""
        kept = state / "key"
        if not kept.exists():
            told = subprocess.run(
                [bench.baton, "key", "new", "bench", "--data", str(state / "data")],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            found = KEY.search(told.stdout)
            if not found:
                raise Unavailable("`baton key new` told no key")
            kept.write_text(found[0])
        return kept.read_text()


def base_model(endpoint: Endpoint) -> str:
    """What to write as `model` to have no twin: the first of the list."""
    name: str = json.loads(get(endpoint, "/v1/models"))["data"][0]["id"]
    return name
