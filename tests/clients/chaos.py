#!/usr/bin/env python3
"""Hurts a served Baton and looks whether it is whole afterwards: chaos.py BATON PACKS [DISCONNECTS]

Kills the server under load and starts it again; leaves streams at random moments; fills the queue to its bound.
After each, the server must be ready, nobody else's answer may have changed, and every block must be free again.
"""
import http.client
import json
import random
import re
import socket
import sys
import tempfile
import threading
import urllib.parse

from served import Served

TWINS = ["ux", "security", "payments"]


def body(seed, **options):
    fields = {"model": TWINS[seed % 3], "max_tokens": 12, "temperature": 0, "ignore_eos": True,
              "messages": [{"role": "user", "content": "Case %d: what do you check first?" % seed}]}
    return json.dumps(fields | options).encode()


def request(served, path, data=None):
    """Status, headers and text of one request."""
    connection = http.client.HTTPConnection(urllib.parse.urlparse(served.url).netloc, timeout=300)
    headers = {"Authorization": "Bearer " + served.key, "Content-Type": "application/json"}
    connection.request("POST" if data else "GET", path, data, headers)
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    return reply.status, reply.headers, text


def answer(served, seed):
    status, _, text = request(served, "/v1/chat/completions", body(seed))
    assert status == 200, text
    return json.loads(text)["choices"][0]["message"]["content"]


def metric(served, name):
    found = re.findall(r"^%s(?:\{[^}]*\})? (\S+)$" % re.escape(name), request(served, "/metrics")[2], re.M)
    assert found, "no metric " + name
    return sum(map(float, found))


def blocks(served):
    """How many blocks of the cache are in which state."""
    found = re.findall(r'^baton_blocks\{.*state="(\w+)"\} (\S+)$', request(served, "/metrics")[2], re.M)
    return {state: int(float(count)) for state, count in found}


def settle(served):
    """Waits until nothing runs or waits; at most a minute."""
    pause = threading.Event()
    for _ in range(600):
        if metric(served, "vllm:num_requests_running") + metric(served, "vllm:num_requests_waiting") == 0:
            return
        pause.wait(0.1)
    raise AssertionError("requests are left over")


def leave(served, seed, draw):
    """Sends a request and hangs up after a random number of bytes of the answer."""
    url = urllib.parse.urlparse(served.url)
    payload = body(seed, stream=True, max_tokens=100)
    head = ("POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
            "Content-Length: %d\r\n\r\n" % (url.netloc, served.key, len(payload))).encode()
    sent = head + payload
    with socket.create_connection((url.hostname, url.port), timeout=60) as connection:
        if draw.random() < 0.2:
            connection.sendall(sent[:draw.randrange(len(sent))])
            return
        connection.sendall(sent)
        left = draw.randrange(2000)
        while left > 0:
            got = connection.recv(min(left, 512))
            if not got:
                break
            left -= len(got)


def in_parallel(count, workers, work):
    """Runs `work(i)` for every i below count; the first failure is raised."""
    numbers, failures = iter(range(count)), []
    lock = threading.Lock()

    def worker():
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            try:
                work(number)
            except Exception as error:  # any failure is a finding, whatever its kind
                failures.append(error)

    threads = [threading.Thread(target=worker) for _ in range(workers)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    if failures:
        raise failures[0]


def disconnects(served, count):
    expected = [answer(served, seed) for seed in range(len(TWINS))]
    settle(served)
    before = blocks(served)
    in_parallel(count, 16, lambda i: leave(served, i, random.Random(i)))
    settle(served)
    assert served.is_ready()
    after = blocks(served)
    assert after["held"] == 0, after
    assert (after["pinned"], sum(after.values())) == (before["pinned"], sum(before.values())), (before, after)
    assert metric(served, "baton_broken_invariants_total") == 0
    assert [answer(served, seed) for seed in range(len(TWINS))] == expected, "an answer changed"
    print("%d disconnects: ready, same answers, blocks %s -> %s" % (count, before, after))


def full_queue(served, waiting):
    statuses, retry = [], []

    def ask(i):
        status, headers, text = request(served, "/v1/chat/completions", body(i, max_tokens=40))
        statuses.append(status)
        if status == 429:
            retry.append(headers["Retry-After"])
            assert json.loads(text)["error"]["message"]
        else:
            assert status == 200, text

    in_parallel(waiting * 4, waiting * 4, ask)
    assert set(statuses) == {200, 429}, statuses
    assert all(int(seconds) >= 1 for seconds in retry), retry
    settle(served)
    assert served.is_ready()
    answer(served, 3)
    print("queue of %d filled by %d: %d answered, %d told to come back" %
          (waiting, waiting * 4, statuses.count(200), statuses.count(429)))


def killed_and_restarted(baton, packs, data):
    with Served(baton, packs, data, "--log", "error") as served:
        key, expected = served.key, answer(served, 1)
        threads = [threading.Thread(target=lost, args=(served, i)) for i in range(8)]
        [thread.start() for thread in threads]
        served.kill()
        [thread.join() for thread in threads]
    with Served(baton, packs, data, "--log", "error", key=key) as served:
        assert answer(served, 1) == expected, "the answer changed over a restart"
    print("killed under load and restarted: ready, same key, same answer")


def lost(served, seed):
    """A request that may be cut off."""
    try:
        request(served, "/v1/chat/completions", body(seed, max_tokens=200))
    except (OSError, http.client.HTTPException):
        pass


def main():
    baton, packs = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
    with tempfile.TemporaryDirectory() as data:
        killed_and_restarted(baton, packs, data)
    with tempfile.TemporaryDirectory() as data, Served(baton, packs, data, "--log", "error") as served:
        disconnects(served, count)
    with tempfile.TemporaryDirectory() as data:
        with Served(baton, packs, data, "--log", "error", "--max-waiting", "8", "--max-running", "4") as served:
            full_queue(served, 12)


if __name__ == "__main__":
    main()
