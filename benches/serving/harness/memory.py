"""Peak memory of a process and its descendants."""

from __future__ import annotations

import os
import pathlib

PROC = pathlib.Path("/proc")


def peak_resident(pid: int) -> int:
    """Bytes: the sum of each process's own highest resident size, so an upper bound for a tree of several."""
    return sum(high_water(status) for status in (read(PROC / str(member) / "status") for member in tree(pid)))


def high_water(status: str) -> int:
    """Bytes of VmHWM in the text of /proc/PID/status; 0 for a process that is gone or has no memory."""
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for name in os.listdir(PROC):
        if name.isdigit() and (stat := read(PROC / name / "stat")):
            # The second field, in parentheses, may itself hold anything.
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(name))
    found, open_ = [], [pid]
    while open_:
        member = open_.pop()
        found.append(member)
        open_ += children.get(member, [])
    return found


def read(path: pathlib.Path) -> str:
    """The file's text, or nothing if the process is gone."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
