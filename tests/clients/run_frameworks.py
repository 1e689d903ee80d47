#!/usr/bin/env python3
"""Starts the given `baton` on the real model and runs LangChain and LlamaIndex against it: run_frameworks.py BATON PACKS"""
import os
import sys
import tempfile
import unittest

from served import Served


def main():
    baton, packs = sys.argv[1:3]
    options = ["--embedding-model", "all-minilm-l6-v2", "--log", "warn"]
    with tempfile.TemporaryDirectory() as data, Served(baton, packs, data, *options) as served:
        os.environ |= {"BATON_BASE_URL": served.url + "/v1", "BATON_API_KEY": served.key}
        result = unittest.main("test_frameworks", argv=["test_frameworks", "-v"], exit=False).result
    sys.exit(not result.wasSuccessful())


if __name__ == "__main__":
    main()
