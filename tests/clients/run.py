#!/usr/bin/env python3
"""Starts the given `baton` on the real model and runs the client tests against it: run.py BATON PACKS NODE_MODULES

Python's client must be importable; Node's is looked for in NODE_MODULES and left out, with a word, where there is none.
"""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).parent
READY_SECONDS = 180


@contextlib.contextmanager
def server(baton, packs, *options):
    """A served Baton on a free port, with a data folder of its own; gives base URL and key, and ends it with SIGTERM."""
    with tempfile.TemporaryDirectory() as data:
        command = [baton, "serve", "--listen", "127.0.0.1:0", "--data", data, "--packs", packs, *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        lines = []
        try:
            base, key = facts(process, lines)
            # The pipe must not fill up while the tests run.
            threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True).start()
            yield base, key, process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            code = process.wait(60)
            if code:
                sys.exit("the server ended with %d\n%s" % (code, "".join(lines)))


def facts(process, lines):
    """Reads standard output until the server has told its address and the first key, and is ready."""
    base = key = None
    for line in process.stdout:
        lines.append(line)
        base = base or re.search(r"http://127\.0\.0\.1:\d+", line)
        key = key or re.search(r"baton_[0-9A-Za-z]+_[0-9A-Za-z_-]{16,}", line)
        if base and key:
            wait_until_ready(base[0], key[0])
            return base[0] + "/v1", key[0]
    sys.exit("the server ended before it told its address and key:\n" + "".join(lines))


def wait_until_ready(base, key):
    request = urllib.request.Request(base + "/ready", headers={"Authorization": "Bearer " + key})
    wake = threading.Event()
    for _ in range(READY_SECONDS * 10):
        try:
            with urllib.request.urlopen(request, timeout=60):
                return
        except urllib.error.URLError:
            wake.wait(0.1)
    sys.exit("the server did not become ready in %d s" % READY_SECONDS)


def main():
    baton, packs, node_modules = sys.argv[1:4]
    with server(baton, packs) as (base, key, _):
        os.environ |= {"BATON_BASE_URL": base, "BATON_API_KEY": key}
        sys.path.insert(0, str(HERE))
        result = unittest.main("test_openai", argv=["test_openai", "-v"], exit=False).result
        failed = not result.wasSuccessful()
        if shutil.which("node") and os.path.isdir(node_modules):
            # Modules are found from the script's own place, so it runs beside them.
            script = shutil.copy(HERE / "test_openai.mjs", pathlib.Path(node_modules).parent)
            failed |= subprocess.run(["node", "--test", "--test-reporter=spec", script]).returncode != 0
        else:
            print("no Node on this machine: its client was not tested")
    sys.exit(failed)


if __name__ == "__main__":
    main()
