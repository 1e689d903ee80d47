"""Who uses the processor while something is measured: a figure from a machine that was not quiet is no figure."""

from __future__ import annotations

import os
import pathlib
import time

from .memory import PROC, read, tree

TICK = os.sysconf("SC_CLK_TCK")
CORES = os.sysconf("SC_NPROCESSORS_ONLN")


class Watch:
    """From its making on: what share of the machine went to processes other than the engine and this one."""

    def __init__(self, engine: int) -> None:
        self.engine = engine
        self.began = self.now()

    def now(self) -> tuple[float, float]:
        """Seconds on the clock, and processor seconds that others have used."""
        own = sum(process_seconds(read(PROC / str(pid) / "stat")) for pid in [*tree(self.engine), os.getpid()])
        return time.monotonic(), machine_seconds(read(pathlib.Path("/proc/stat"))) - own

    def others(self) -> float:
        """A share of all cores, between 0 and 1 but for the coarse ticks."""
        (clock, used), (clock_began, used_began) = self.now(), self.began
        return max(0.0, used - used_began) / ((clock - clock_began) * CORES)


def machine_seconds(stat: str) -> float:
    """Processor seconds that were not idle, those that a host took away among them, from the text of /proc/stat."""
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, stat.split("\n", 1)[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICK


def process_seconds(stat: str) -> float:
    """Processor seconds of a process and of its children that ended, from the text of /proc/PID/stat."""
    # The second field, in parentheses, may itself hold anything.
    fields = stat.rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICK
