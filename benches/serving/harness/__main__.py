"""The command line: runs the engines in turn for several rounds, and writes JSON and Markdown."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time

from .engines import ENGINES, Bench, Broken, Engine, Unavailable
from .engines.base import HERE
from .machine import commit, machine
from .measures import PARTS, SIZES, Figures, Sizes, measure_raw, measure_restart, measure_twins
from .packs import Pack, read_pack
from .report import markdown
from .results import Results, cell_name
from .usage import Watch

CHECKOUT = HERE.parents[1]
PACKS = ("ux", "security", "payments", "data-modelling")
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benches/serving/run", description=__doc__)
    parser.add_argument(
        "--engines", default=",".join(ENGINES), help="which, with commas between [default: %(default)s]"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="how often each engine has its turn [default: %(default)s]"
    )
    parser.add_argument(
        "--parts", default=",".join(PARTS), help="what of each, with commas between [default: %(default)s]"
    )
    parser.add_argument("--sizes", choices=SIZES, default="normal", help="how much is asked [default: %(default)s]")
    parser.add_argument("--quick", action="store_const", const="quick", dest="sizes", help="the same as --sizes quick")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="[default: %(default)s]")
    parser.add_argument(
        "--baton", type=pathlib.Path, default=target() / "release" / "baton", help="[default: %(default)s]"
    )
    parser.add_argument("--model", type=pathlib.Path, default=models() / MODEL, help="[default: %(default)s]")
    parser.add_argument(
        "--cache", type=pathlib.Path, default=cache(), help="downloads, builds, logs [default: %(default)s]"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, help="results file, without suffix; an unfinished one is gone on with"
    )
    parser.add_argument("--prepare", action="store_true", help="install and build what is missing, and stop")
    chosen = parser.parse_args()
    unknown = set(chosen.engines.split(",")) - set(ENGINES)
    if unknown:
        parser.error(f"no such engine: {', '.join(sorted(unknown))}")
    if not set(chosen.parts.split(",")) <= set(PARTS):
        parser.error(f"the parts are {', '.join(PARTS)}")
    return chosen


def target() -> pathlib.Path:
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", CHECKOUT / "target"))


def user_cache() -> pathlib.Path:
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")


def models() -> pathlib.Path:
    return pathlib.Path(os.environ.get("BATON_CACHE") or user_cache() / "baton")


def cache() -> pathlib.Path:
    return pathlib.Path(os.environ.get("BATON_BENCH_CACHE") or user_cache() / "baton-bench")


def main() -> None:
    chosen = arguments()
    # So that a run that is told to end still ends the engines it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    chosen.cache.mkdir(parents=True, exist_ok=True)
    bench = Bench(
        chosen.cache.resolve(), chosen.model.resolve(), CHECKOUT / "twin-packs", chosen.baton.resolve(), chosen.threads
    )
    sizes = SIZES[chosen.sizes]
    today = datetime.date.today().isoformat()
    out = chosen.out or CHECKOUT / "benches" / "results" / f"serving-{today}"
    if chosen.prepare:
        # Nothing is measured, so no results are touched.
        out = pathlib.Path(tempfile.mkdtemp(prefix="prepare-", dir=chosen.cache)) / "prepared"
    head = {
        "date": today,
        "commit": commit(CHECKOUT),
        "machine": machine(),
        "threads": chosen.threads,
        "sizes": dataclasses.asdict(sizes),
    }
    try:
        results = Results.open(with_ending(out, ".json"), head)
    except ValueError as reason:
        sys.exit(f"error: {reason}")
    packs = [read_pack(bench.packs / name) for name in PACKS]
    engines = [engine for name in chosen.engines.split(",") if prepared(engine := ENGINES[name], bench, results)]
    if chosen.prepare:
        shutil.rmtree(out.parent)
        return
    for round_ in range(1, chosen.rounds + 1):
        for engine in engines:
            cells = {part: cell_name(round_, part) for part in chosen.parts.split(",") if part in engine.parts}
            missing = [part for part, cell in cells.items() if not results.has(engine.name, cell)]
            if not missing or round_ > engine.most_rounds:
                continue
            began = time.perf_counter()
            # New questions in every round, the same ones for every engine.
            for part, figures in measured(engine, missing, bench, packs, sizes, f"round {round_}").items():
                results.put(engine.name, cells[part], figures.to_json())
            results.save()
            print(f"round {round_}, {engine.label}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    report = with_ending(out, ".md")
    report.write_text(markdown(results.content) + "\n", encoding="utf-8")
    print(report.read_text(encoding="utf-8"))


def with_ending(path: pathlib.Path, ending: str) -> pathlib.Path:
    return path.with_name(path.name + ending)


def prepared(engine: Engine, bench: Bench, results: Results) -> bool:
    """Whether the engine can run here; if not, the results say why."""
    entry = results.engine(engine.name)
    entry["label"] = engine.label
    entry.pop("unavailable", None)
    try:
        entry["about"] = dataclasses.asdict(engine.prepare(bench))
    except Unavailable as reason:
        entry["unavailable"] = str(reason)
        print(f"{engine.label} is left out: {reason}", file=sys.stderr)
    results.save()
    return "unavailable" not in entry


def measured(
    engine: Engine, parts: list[str], bench: Bench, packs: list[Pack], sizes: Sizes, salt: str
) -> dict[str, Figures]:
    """Measures an engine from a fresh start to its end: the figures by part."""
    found = {part: Figures() for part in parts}
    state = pathlib.Path(tempfile.mkdtemp(prefix="state-", dir=bench.cache))
    try:
        with engine.start(bench, state) as session:
            for part, figures in found.items():
                watch = Watch(session.process.pid)
                if part == "raw":
                    measure_raw(figures, session, sizes, salt)
                else:
                    figures.values["start"] = session.start_seconds
                    measure_twins(figures, session, packs, sizes, engine.as_twins, salt)
                figures.facts["others"] = round(watch.others(), 4)
        if engine.survives_restart and "twins" in found:
            with engine.start(bench, state) as session:
                measure_restart(found["twins"], session, packs, engine.as_twins, salt)
    except Broken as reason:
        for figures in found.values():
            figures.faults.append(str(reason))
        print(f"{engine.label}: {reason}", file=sys.stderr)
    finally:
        shutil.rmtree(state, ignore_errors=True)
    return found


if __name__ == "__main__":
    main()
