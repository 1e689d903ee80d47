#!/usr/bin/env python3
"""Serves a mix of work for a long time and watches the memory: soak.py BATON PACKS [MINUTES]

The cache is small enough to be full within the first minutes; from then on what is resident must stay what it is.
"""
import json
import random
import statistics
import sys
import tempfile
import threading
import time

from chaos import TWINS, body, leave, metric, request, settle
from served import Served

WORKERS = 8
SAMPLE_SECONDS = 5
# Of the resident memory: allocators need not give everything back to look well.
GROWTH_ALLOWED = 0.03
WORDS = "ledger column deadline invoice contrast token rollback latency consent retry schema queue budget".split()


def resident(pid):
    """Bytes in memory now."""
    with open("/proc/%d/status" % pid, encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))


def ask(served, draw):
    """One request of a random kind; each must end as that kind does."""
    said = " ".join(draw.choices(WORDS, k=draw.choice((5, 40, 300))))
    seed, kind = draw.randrange(1 << 30), draw.random()
    options = {"messages": [{"role": "user", "content": said}], "max_tokens": draw.randrange(1, 60), "temperature": 1,
               "model": draw.choice(TWINS + ["smollm2-135m-instruct"])}
    if kind < 0.1:
        return leave(served, seed, draw)
    if kind < 0.2:
        expected, options["max_tokens"] = 400, "many"
    else:
        extras = ({}, {"n": 2}, {"logprobs": True, "top_logprobs": 5}, {"stop": ["."]}, {"stream": True})
        expected, options = 200, options | draw.choice(extras)
    status, _, text = request(served, "/v1/chat/completions", body(seed, **options))
    assert status == expected, (status, text)
    if status == 400:
        assert json.loads(text)["error"]["param"] == "max_tokens", text
    return None


def soak(served, minutes):
    end, failures, counts = time.monotonic() + 60 * minutes, [], [0] * WORKERS

    def worker(number):
        draw = random.Random(number)
        try:
            while time.monotonic() < end and not failures:
                ask(served, draw)
                counts[number] += 1
        except Exception as error:  # any failure is a finding, whatever its kind
            failures.append(error)

    threads = [threading.Thread(target=worker, args=(number,)) for number in range(WORKERS)]
    [thread.start() for thread in threads]
    samples, pause = [], threading.Event()
    while any(thread.is_alive() for thread in threads):
        samples.append(resident(served.process.pid))
        if len(samples) % (60 // SAMPLE_SECONDS) == 0:
            print("%5.1f min: %d requests, %.1f MiB" % (len(samples) * SAMPLE_SECONDS / 60, sum(counts),
                                                      samples[-1] / (1 << 20)), flush=True)
        pause.wait(SAMPLE_SECONDS)
    if failures:
        raise failures[0]
    return sum(counts), samples


def main():
    baton, packs = sys.argv[1:3]
    minutes = float(sys.argv[3]) if len(sys.argv) > 3 else 30
    options = ["--log", "error", "--kv-cache-memory", "128 MiB"]
    with tempfile.TemporaryDirectory() as data, Served(baton, packs, data, *options) as served:
        requests, samples = soak(served, minutes)
        settle(served)
        assert served.is_ready()
        assert metric(served, "baton_broken_invariants_total") == 0
    quarter = len(samples) // 4
    early, late = (statistics.median(part) / (1 << 20) for part in (samples[quarter:2 * quarter], samples[-quarter:]))
    print("%d requests in %.0f minutes: %.1f MiB resident in the second quarter, %.1f MiB in the last" %
          (requests, minutes, early, late))
    if late > early * (1 + GROWTH_ALLOWED):
        sys.exit("memory grows")


if __name__ == "__main__":
    main()
