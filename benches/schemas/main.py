#!/usr/bin/env python3
"""Two steps of scripts/test-schemas: `main.py cases SUITE WORK` writes what the Rust side judges, `main.py report SUITE WORK
BATON` asks a served Baton and writes the results."""
import datetime
import json
import os
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path += [str(HERE), str(ROOT / "tests" / "clients"), str(ROOT / "benches" / "serving")]

import report  # noqa: E402
import suite  # noqa: E402

REQUESTS = ROOT / "tests" / "fixtures" / "schemas" / "requests.jsonl"
ROUNDS = 2


def own_requests():
    """Our own schemas, each with a prompt and answers that are right and wrong."""
    return [json.loads(line) for line in REQUESTS.read_text().splitlines()]


def all_cases(archive):
    """The published cases and then our own, each with the spellings of its answers."""
    published = suite.read(archive)
    own = [{"group": request["group"], "schema": request["schema"],
            "answers": [(value, kind == "good", request["name"]) for kind in ("good", "bad") for value in request[kind]]}
           for request in own_requests()]
    for case in published + own:
        case["spellings"] = [suite.spellings(value) for value, _, _ in case["answers"]]
    return published, own


def write_cases(archive, work):
    """`cases.jsonl`, as the Rust side reads it."""
    published, own = all_cases(archive)
    lines = [json.dumps({"schema": case["schema"], "answers": case["spellings"]}) for case in published + own]
    (work / "cases.jsonl").write_text("".join(line + "\n" for line in lines))


def write_report(archive, work, baton):
    """Everything that is asked and compared, as `benches/results/schemas-DATE.{json,md}`."""
    import asked
    import peers
    from harness.machine import commit, machine
    from served import Served

    published, own = all_cases(archive)
    outcomes = [json.loads(line) for line in (work / "outcomes.jsonl").read_text().splitlines()]
    if len(outcomes) != len(published) + len(own):
        sys.exit("the outcomes are not those of these cases")
    theirs = {}
    for kind in (peers.Xgrammar, peers.Outlines):
        peer = kind()
        theirs[peer.name] = [peers.judge(peer, published), peers.judge(peer, own)]
    date = datetime.date.today().isoformat()
    result = {"format": 1, "date": date, "commit": commit(ROOT), "machine": machine()}
    result["published"] = report.compared(published, outcomes[:len(published)],
                                          {name: both[0] for name, both in theirs.items()})
    result["own"] = report.compared(own, outcomes[len(published):], {name: both[1] for name, both in theirs.items()})
    with tempfile.TemporaryDirectory() as data, \
            Served(baton, str(ROOT / "twin-packs"), data, "--log", "warn") as served:
        asker, requests = asked.Asker(served), own_requests()
        result["load"] = os.getloadavg()[0]
        result["costs"] = asked.costs(asker, requests, ROUNDS)
        result["answers"] = {"greedy": asked.answers(asker, requests, {"temperature": 0}),
                             "sampled": asked.answers(asker, requests, {"temperature": 1, "seed": 7}),
                             "sampled hot": asked.answers(asker, requests, {"temperature": 1.5, "seed": 8})}
    target = ROOT / "benches" / "results" / ("schemas-" + date)
    target.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    target.with_suffix(".md").write_text(report.page(result))
    print(report.page(result))
    wrong = [name for told in result["answers"].values() for name in told["wrong"]]
    sys.exit("answers that were not as asked: " + ", ".join(wrong) if wrong else 0)


def main():
    step, archive, work = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    if step == "cases":
        write_cases(archive, work)
    else:
        write_report(archive, work, sys.argv[4])


if __name__ == "__main__":
    main()
