"""Engines that are libraries, run in the Python that has them: loads in, answers out, one line of JSON each."""
