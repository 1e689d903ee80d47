"""What this machine is, as far as it matters to the figures."""

from __future__ import annotations

import os
import pathlib
import platform
import subprocess
from typing import Any

from .memory import read

FLAGS = (
    "f16c fma avx avx2 avx_vnni avx512f avx512_vnni avx512_bf16 amx_int8 amx_bf16 asimd asimddp i8mm bf16 sve"
).split()


CPUINFO = pathlib.Path("/proc/cpuinfo")


def machine() -> dict[str, Any]:
    """Processor, flags of interest, cores that this process may use, memory in bytes, system."""
    facts = cpu_facts(read(CPUINFO))
    facts["cores"] = len(os.sched_getaffinity(0))
    facts["memory"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    facts["system"] = f"{platform.system()} {platform.release()} {platform.machine()}"
    return facts


def multiplies_bf16() -> bool:
    """Whether the processor has instructions for it; without, the type is slow on it."""
    flags = cpu_facts(read(CPUINFO))["flags"]
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags)


def cpu_facts(cpuinfo: str) -> dict[str, Any]:
    """Model and flags from the text of /proc/cpuinfo."""
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    model = fields.get("model name", "unknown")
    family = ", ".join(f"{name} {fields[name]}" for name in ("cpu family", "model", "stepping") if name in fields)
    return {"cpu": f"{model} ({family})" if family else model, "flags": [flag for flag in FLAGS if flag in flags]}


def commit(checkout: pathlib.Path) -> str:
    """The checkout's commit, with a mark if files that git follows are changed."""
    described = subprocess.run(
        ["git", "-C", str(checkout), "describe", "--always", "--abbrev=10", "--dirty", "--exclude=*"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return described.stdout.strip() or "unknown"
