"""What is asked, and what is read from the system."""

import json
import pathlib
import unittest

from harness import machine, memory, usage
from harness.load import Answer, Load
from harness.packs import read_pack
from harness.prompts import cold_load, decode_load, twin_load

PACKS = pathlib.Path(__file__).resolve().parents[3] / "twin-packs"


class Loads(unittest.TestCase):
    def setUp(self) -> None:
        self.packs = [read_pack(PACKS / name) for name in ("ux", "security")]

    def test_packs_take_turns_and_no_two_questions_are_the_same(self) -> None:
        load = twin_load(self.packs, 16, 32, as_twin=False, salt=("round 1",))
        systems = [ask.messages[0]["content"] for ask in load.asks]
        self.assertEqual(systems, [self.packs[n % 2].system for n in range(32)])
        self.assertEqual(len({ask.messages[1]["content"] for ask in load.asks}), 32)
        self.assertEqual((load.conductors, {ask.twin for ask in load.asks}), (16, {None}))

    def test_as_twins_the_questions_are_the_same_and_the_pack_is_named(self) -> None:
        plain = twin_load(self.packs, 4, 4, as_twin=False, salt=("x",))
        twins = twin_load(self.packs, 4, 4, as_twin=True, salt=("x",))
        self.assertEqual([ask.messages[1:] for ask in plain.asks], [ask.messages for ask in twins.asks])
        self.assertEqual([ask.twin for ask in twins.asks], ["ux", "security", "ux", "security"])

    def test_another_salt_asks_something_else_and_the_same_salt_the_same(self) -> None:
        for make in (lambda salt: cold_load(2, salt), lambda salt: decode_load(2, 64, salt)):
            self.assertEqual(make("a"), make("a"))
            texts = [ask.messages[0]["content"] for ask in make("a").asks + make("b").asks]
            # Nothing that a prefix cache could use: the first words differ already.
            self.assertEqual(len({text[:12] for text in texts}), 4)

    def test_loads_and_answers_survive_the_way_to_a_driver(self) -> None:
        load = twin_load(self.packs, 4, 4, as_twin=True, salt=())
        self.assertEqual(Load.from_json(json.loads(json.dumps(load.to_json()))), load)
        answer = Answer(0.5, 2, [1, 2], 3, 4, "late")
        self.assertEqual(Answer.from_json(json.loads(json.dumps(answer.to_json()))), answer)


class Packs(unittest.TestCase):
    def test_the_text_has_all_parts_in_the_frame(self) -> None:
        text = read_pack(PACKS / "ux").system
        self.assertTrue(text.startswith("You are the twin `ux` (User experience, version "))
        for part in (
            "\n\nYou answer questions about:\n- ", "\nYou do not answer questions about:\n- ",
            "\n\n# Instructions\n\n", "\n\n# Context: research\n\n", "\n\n# Context: thresholds\n\n",
        ):  # fmt: skip
            self.assertEqual(text.count(part), 1, part)


class System(unittest.TestCase):
    def test_processors_tell_what_matters(self) -> None:
        first = "processor\t: 0\nmodel name\t: Fast 9\ncpu family\t: 25\nflags\t\t: fpu avx2 fma\n"
        text = first + "\nprocessor\t: 1\nmodel name\t: Other\n"
        self.assertEqual(machine.cpu_facts(text), {"cpu": "Fast 9 (cpu family 25)", "flags": ["fma", "avx2"]})
        self.assertEqual(machine.cpu_facts("Features : asimd i8mm\n"), {"cpu": "unknown", "flags": ["asimd", "i8mm"]})

    def test_processor_time_is_read_in_seconds(self) -> None:
        self.assertEqual(usage.machine_seconds("cpu  100 200 300 9000 9000 10 20 70 5 5\ncpu0 1 1\n"), 700 / usage.TICK)
        stat = "7 (a) b) (c) S 1 7 7 0 -1 0 0 0 0 0 11 22 33 44 20 0 1"
        self.assertEqual(usage.process_seconds(stat), 110 / usage.TICK)

    def test_peaks_are_read_in_bytes(self) -> None:
        self.assertEqual(memory.high_water("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n"), 2048 * 1024)
        self.assertEqual(memory.high_water("Name:\tgone\n"), 0)
