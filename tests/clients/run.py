#!/usr/bin/env python3
"""Starts the given `baton` on the real model and runs the client tests against it: run.py BATON PACKS NODE_MODULES

Python's client must be importable; Node's is looked for in NODE_MODULES and left out, with a word, where there is none.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from served import Served

HERE = pathlib.Path(__file__).parent
CONDUCTORS = 64


def make_keys(baton, data):
    """A key for each of the conductors, made before the server starts."""
    keys = []
    for number in range(CONDUCTORS):
        told = subprocess.run([baton, "key", "new", "conductor-%d" % number, "--data", data], check=True,
                              capture_output=True, text=True)
        keys.append(re.search(r"baton_[0-9A-Za-z]+_[0-9A-Za-z_-]{16,}", told.stdout)[0])
    return keys


def main():
    baton, packs, node_modules = sys.argv[1:4]
    with tempfile.TemporaryDirectory() as data:
        keys = make_keys(baton, data)
        with Served(baton, packs, data, "--embedding-model", "all-minilm-l6-v2", "--log",
                    "warn", key=keys[0]) as served:
            failed = run_clients(served.url + "/v1", keys, node_modules)
    sys.exit(failed)


def run_clients(base_url, keys, node_modules):
    """Whether any test of any client failed."""
    os.environ |= {"BATON_BASE_URL": base_url, "BATON_API_KEY": keys[0], "BATON_API_KEYS": " ".join(keys)}
    result = unittest.main("test_openai", argv=["test_openai", "-v"], exit=False).result
    failed = not result.wasSuccessful()
    if shutil.which("node") and os.path.isdir(node_modules):
        # Modules are found from the script's own place, so it runs beside them.
        script = shutil.copy(HERE / "test_openai.mjs", pathlib.Path(node_modules).parent)
        failed |= subprocess.run(["node", "--test", "--test-reporter=spec", script]).returncode != 0
    else:
        print("no Node on this machine: its client was not tested")
    return failed


if __name__ == "__main__":
    main()
