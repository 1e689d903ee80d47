"""What an engine is to the benchmark, and the two ways to run one: behind HTTP, or as a library in its own process."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import dataclasses
import http.client
import json
import math
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from .. import client, memory
from ..load import Answer, Load

HERE = pathlib.Path(__file__).resolve().parents[2]
STOP_SECONDS = 30
LOAD_SECONDS = 600


class Unavailable(Exception):
    """This engine cannot run on this machine; the text says why."""


class Broken(Exception):
    """The engine was there, but failed; the text says how."""


@dataclasses.dataclass(frozen=True)
class Bench:
    """What all engines are given."""

    cache: pathlib.Path
    """Where downloads, builds and logs are kept."""
    model: pathlib.Path
    """The default model's GGUF file, Q4_1."""
    packs: pathlib.Path
    baton: pathlib.Path
    threads: int

    def log(self, name: str) -> pathlib.Path:
        folder = self.cache / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name}.log"


@dataclasses.dataclass
class About:
    """What the results say of an engine."""

    version: str
    weights: str
    """The form of the weights that it computes with."""
    how: str
    """HTTP server, or in process."""
    command: str
    """How it is started."""


class Engine(abc.ABC):
    """One way to run the model."""

    as_twins = False
    """Whether the twin workload cues it as twins instead of handing it the packs' texts."""
    parts: tuple[str, ...] = ("twins", "raw")
    """The parts of the benchmark that tell something new about it."""
    most_rounds: float = math.inf
    """Rounds that it takes part in at most: one tells enough of an engine that is far from the best in every row."""
    survives_restart = False
    """Whether it keeps something over a restart, so that a restart is worth measuring."""

    def __init__(self, name: str, label: str) -> None:
        self.name = name
        self.label = label

    @abc.abstractmethod
    def prepare(self, bench: Bench) -> About:
        """Installs or builds what is missing. Raises Unavailable."""

    @abc.abstractmethod
    def start(self, bench: Bench, state: pathlib.Path) -> contextlib.AbstractContextManager[Running]:
        """Starts it, and waits until it is ready. `state` is a folder that is empty before a fresh start."""


class Running(abc.ABC):
    """A started engine and its process."""

    def __init__(self, process: subprocess.Popen[Any], start_seconds: float) -> None:
        self.process = process
        self.start_seconds = start_seconds

    @abc.abstractmethod
    def perform(self, load: Load) -> list[Answer]: ...

    def peak_resident(self) -> int:
        return memory.peak_resident(self.process.pid)


class Served(Running):
    """Behind HTTP on this machine."""

    def __init__(self, process: subprocess.Popen[Any], start_seconds: float, endpoint: client.Endpoint) -> None:
        super().__init__(process, start_seconds)
        self.endpoint = endpoint

    def perform(self, load: Load) -> list[Answer]:
        return asyncio.run(client.perform(self.endpoint, load))


class Driven(Running):
    """In a process of its own that reads loads and writes answers, one line of JSON each."""

    def perform(self, load: Load) -> list[Answer]:
        assert self.process.stdin and self.process.stdout
        # A library that hangs would never answer; without its process, the line ends.
        guard = threading.Timer(LOAD_SECONDS, self.process.kill)
        guard.start()
        try:
            self.process.stdin.write(json.dumps(load.to_json()) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError as cause:
            raise Broken(f"the driver ended before it was asked: {cause}") from cause
        finally:
            guard.cancel()
        if not line:
            raise Broken(f"the driver ended in the middle of a load, or was ended after {LOAD_SECONDS} s")
        return [Answer.from_json(one) for one in json.loads(line)]


@contextlib.contextmanager
def ended(process: subprocess.Popen[Any]) -> Iterator[None]:
    """Ends the process, and all in its session, when the block is left."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def serve(
    command: list[str], log: pathlib.Path, endpoint: client.Endpoint, ready: str,
    within: float = 120, env: dict[str, str] | None = None,
) -> Iterator[Served]:  # fmt: skip
    """Starts an HTTP server and waits until GET `ready` is answered 200."""
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})}, start_new_session=True,
        )  # fmt: skip
    with ended(process):
        while not answers(endpoint, ready):
            if process.poll() is not None:
                raise Broken(f"it ended with {process.returncode} before it was ready: {tail(log)}")
            if time.perf_counter() - began > within:
                raise Broken(f"it was not ready after {within:.0f} s: {tail(log)}")
            time.sleep(0.01)
        yield Served(process, time.perf_counter() - began, endpoint)


@contextlib.contextmanager
def drive(
    python: pathlib.Path, module: str, arguments: list[str], log: pathlib.Path,
    env: dict[str, str] | None = None,
) -> Iterator[Driven]:  # fmt: skip
    """Starts one of ../drivers in the Python that has the engine's package, and waits for its first line."""
    with log.open("wb") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            [python, "-m", f"drivers.{module}", *arguments], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=errors, text=True, env={**os.environ, **(env or {})}, start_new_session=True,
        )  # fmt: skip
    with ended(process):
        assert process.stdout
        if process.stdout.readline().strip() != "ready":
            raise Broken(f"it did not become ready: {tail(log)}")
        yield Driven(process, time.perf_counter() - began)


def answers(endpoint: client.Endpoint, path: str) -> bool:
    """Whether the server says 200."""
    try:
        get(endpoint, path)
    except (OSError, http.client.HTTPException):
        return False
    return True


def get(endpoint: client.Endpoint, path: str) -> bytes:
    """The reply's body. Raises OSError where the status is not 200 or nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=60)
    headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
    try:
        connection.request("GET", path, headers=headers)
        reply = connection.getresponse()
        if reply.status != 200:
            raise OSError(f"GET {path}: status {reply.status}")
        return reply.read()
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def tail(log: pathlib.Path) -> str:
    """The log's last words."""
    return " | ".join(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:])[-800:]


def run(command: list[str], log: pathlib.Path, **options: Any) -> None:
    """Runs a step of an installation, its output in `log`. Raises Unavailable if it fails."""
    print("  $", " ".join(command), file=sys.stderr)
    with log.open("ab") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False, **options)
    if done.returncode:
        raise Unavailable(f"`{' '.join(command[:4])} …` failed: {tail(log)}")


def virtual_environment(bench: Bench, name: str, *packages: str) -> pathlib.Path:
    """The Python of an environment in the cache that has these packages, made on first use."""
    home = bench.cache / name
    python = home / "bin" / "python"
    stamp = home / "installed"
    if not stamp.exists() or stamp.read_text() != "\n".join(packages):
        log = bench.log(f"install-{name}")
        run([sys.executable, "-m", "venv", str(home)], log)
        run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages], log)
        stamp.write_text("\n".join(packages))
    return python


def shown(command: list[str], bench: Bench) -> str:
    """The command as a reader would write it: no folders of this machine."""
    text = " ".join(command)
    for path, name in ((bench.cache, "$CACHE"), (bench.packs, "twin-packs"), (bench.model.parent, "$MODELS")):
        text = text.replace(str(path), name)
    return text.replace(str(bench.baton), "baton")
