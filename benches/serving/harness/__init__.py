"""The serving benchmark: the same questions to Baton and to its peers, in turn, on one machine.

Needs only Python's standard library, 3.11 or newer. `../run` is the way in.
"""
