#!/usr/bin/env python3
"""Starts the given `baton` on the real model and runs the client tests against it: run.py BATON PACKS NODE_MODULES

Python's client must be importable; Node's is looked for in NODE_MODULES and left out, with a word, where there is none.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from served import Served

HERE = pathlib.Path(__file__).parent


def main():
    baton, packs, node_modules = sys.argv[1:4]
    with tempfile.TemporaryDirectory() as data, Served(baton, packs, data) as served:
        os.environ |= {"BATON_BASE_URL": served.url + "/v1", "BATON_API_KEY": served.key}
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
