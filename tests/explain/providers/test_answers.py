"""What plugins answer, matched to what was asked."""

from __future__ import annotations

from and_nnsight.explain.providers.answers import LONGEST_ANSWER, match_answers
from and_nnsight.explain.roles import Failure


def test_an_answer_of_fifty_megabytes_is_one_failure() -> None:
    long, longest = "x" * (LONGEST_ANSWER + 1), "y" * LONGEST_ANSWER
    answers = dict(match_answers(lambda items: items, ["before", long, longest]))
    assert answers[0] == "before"
    assert answers[1] == Failure(
        f"its answer is {len(long):,} characters long: no more than {LONGEST_ANSWER:,} are read"
    )
    assert answers[2] == longest
