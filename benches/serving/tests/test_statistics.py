"""Figures from answers."""

import unittest

from harness import statistics
from harness.load import Answer, Ask, Load


def answer(began: float, stamps: list[float], tokens: int, **more: object) -> Answer:
    return Answer(began, stamps[-1] if stamps else began, stamps, tokens, prompt_tokens=10, **more)


class Percentiles(unittest.TestCase):
    def test_they_are_interpolated_between_ranks(self) -> None:
        for values, percent, expected in [
            ([5], 95, 5),
            ([4, 2], 50, 3),
            ([3, 1, 2], 50, 2),
            ([1, 2, 3, 4, 5], 0, 1),
            ([1, 2, 3, 4, 5], 100, 5),
            ([10, 20], 95, 19.5),
            (list(range(101)), 95, 95),
        ]:
            with self.subTest(values=values[:5], percent=percent):
                self.assertAlmostEqual(statistics.percentile(values, percent), expected)


class Rates(unittest.TestCase):
    def test_throughput_counts_from_the_first_ask_to_the_last_end(self) -> None:
        self.assertAlmostEqual(statistics.throughput([answer(0, [1, 2], 6), answer(1, [3, 4], 6)]), 3)

    def test_decoding_counts_only_while_all_are_being_written(self) -> None:
        # Both are being written from 2 to 4: two pieces of the first, one of the second.
        both = [answer(0, [1, 2, 3, 4], 4), answer(0, [2, 4, 6], 3)]
        self.assertAlmostEqual(statistics.decode_rate(both), 3 / 2)

    def test_a_piece_may_hold_several_tokens(self) -> None:
        self.assertAlmostEqual(statistics.decode_rate([answer(0, [1, 2, 3], 12)]), 2 * 4 / 2)

    def test_answers_one_after_the_other_have_no_common_rate(self) -> None:
        self.assertIsNone(statistics.decode_rate([answer(0, [1, 2], 2), answer(2, [3, 4], 2)]))

    def test_a_prompt_counts_until_the_first_text(self) -> None:
        self.assertAlmostEqual(statistics.prompt_rate(answer(1, [3], 1)), 5)


class Faults(unittest.TestCase):
    def test_each_way_not_to_be_as_asked_is_told(self) -> None:
        load = Load([Ask([], 2)] * 4, 1)
        answers = [answer(0, [1, 2], 2), answer(0, [1], 1), answer(0, [], 0), answer(0, [1], 2, error="gone")]
        self.assertEqual(
            statistics.faults(load, answers),
            ["ask 1: 1 tokens came, 2 were asked for", "ask 2: no text came", "ask 3: gone"],
        )
        self.assertEqual(statistics.good(answers), answers[:2])


if __name__ == "__main__":
    unittest.main()
