"""Medians over rounds, ratios, and the tables."""

import pathlib
import tempfile
import unittest

from harness import report, results
from harness.measures import ROWS, Row
from harness.results import Results, cell_name

RATE = Row("decode16", "16 sequences", "tokens/s")
START = Row("start", "start", "s", False)
ABOUT = {"version": "1", "weights": "Q4_1", "how": "HTTP server", "command": "serve"}


def engine(label: str, **rows: list[float]) -> dict[str, object]:
    """An engine with a cell for each round, one value a row."""
    count = max(len(values) for values in rows.values())
    cells = {
        cell_name(n + 1, "raw"): {"values": {row: values[n] for row, values in rows.items() if n < len(values)},
                                  "facts": {}, "faults": []}
        for n in range(count)
    }  # fmt: skip
    return {"label": label, "about": ABOUT, "cells": cells}


def content() -> dict[str, object]:
    return {
        "date": "2026-01-02", "commit": "abc", "threads": 2,
        "machine": {"cpu": "Test", "cores": 2, "memory": 2**34, "system": "Linux", "flags": ["avx2"]},
        "engines": {
            "baton": engine("Baton", decode16=[300, 100, 200], start=[1]),
            "slow": engine("Slow", decode16=[50, 40], start=[0.5]),
            "fast": engine("Fast", decode16=[100], start=[2]),
            "gone": {"label": "Gone", "unavailable": "no AVX-512", "cells": {}},
        },
    }  # fmt: skip


class Comparing(unittest.TestCase):
    def test_medians_are_of_the_rounds_that_have_the_row(self) -> None:
        self.assertEqual(results.table(content())["slow"], {"decode16": 45, "start": 0.5})

    def test_the_best_peer_is_never_baton(self) -> None:
        table = results.table(content())
        self.assertEqual(results.best_peer(RATE, table), "fast")
        self.assertEqual(results.best_peer(START, table), "slow")
        self.assertIsNone(results.best_peer(Row("cold_prompt", "", ""), table))

    def test_an_advantage_above_one_is_better_either_way(self) -> None:
        self.assertEqual(results.advantage(RATE, 200, 100), 2)
        self.assertEqual(results.advantage(START, 1, 0.5), 0.5)

    def test_rows_have_names_of_their_own(self) -> None:
        self.assertEqual(len({row.id for row in ROWS}), len(ROWS))


class Report(unittest.TestCase):
    def test_it_tells_figures_ratios_and_what_was_left_out(self) -> None:
        text = report.markdown(content())
        self.assertIn("| figure | Baton | Slow | Fast | Baton to the best peer |", text)
        self.assertIn("decode, tokens/s | 200 | 45.0 | **100** | 2.00 × |", text)
        self.assertIn("start until ready, s | 1.00 | **0.50** | 2.00 | 0.50 × |", text)
        self.assertIn("* Gone: no AVX-512", text)
        self.assertIn("medians of 3 rounds", text)
        self.assertNotIn("Not as asked", text)

    def test_faults_are_counted_and_the_first_is_shown(self) -> None:
        with_faults = content()
        for cell in with_faults["engines"]["slow"]["cells"].values():
            cell["faults"] = ["ask 1: gone"]
        self.assertIn("* Slow: 2 answers were not as asked, the first: ask 1: gone", report.markdown(with_faults))

    def test_cells_from_a_busy_machine_are_named(self) -> None:
        busy = content()
        busy["engines"]["slow"]["cells"]["2 raw"]["facts"] = {"others": 0.25}
        busy["engines"]["fast"]["cells"]["1 raw"]["facts"] = {"others": 0.01}
        text = report.markdown(busy)
        self.assertIn("* Slow, round 2 raw: others used 25% of the machine", text)
        self.assertNotIn("* Fast", text)

    def test_figures_have_three_digits_that_say_something(self) -> None:
        for value, expected in [
            (1234.5, "1,234"),
            (99.94, "99.9"),
            (1.005, "1.00"),
            (0.1234, "0.12"),
            (0.0123, "0.012"),
        ]:
            self.assertEqual(report.number(value), expected)


class Files(unittest.TestCase):
    def test_a_run_goes_on_where_it_was_cut_off_but_not_with_other_settings(self) -> None:
        head = {"commit": "abc", "threads": 2, "sizes": {"asks16": 32}}
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "results" / "run.json"
            begun = Results.open(path, head)
            begun.put("baton", cell_name(1, "raw"), {"values": {"start": 1.0}, "facts": {}, "faults": []})
            begun.save()
            again = Results.open(path, head)
            self.assertTrue(again.has("baton", cell_name(1, "raw")))
            self.assertFalse(again.has("baton", cell_name(2, "raw")))
            again.put("baton", cell_name(1, "raw"), {"values": {}, "facts": {"others": 0.3}, "faults": []})
            self.assertFalse(again.has("baton", cell_name(1, "raw")), "a disturbed cell is measured again")
            with self.assertRaisesRegex(ValueError, "threads 2, not 4"):
                Results.open(path, {**head, "threads": 4})
