"""Labels of steps, beside a process whose true values are known, and beside hand-made cases."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rlsp_cli.evals.statistics import mean_share
from rlsp_cli.rewards.sample import Sample, Score, StepScore
from rlsp_cli.rewards.steps import split_steps
from rlsp_cli.traces.labels.binary import BinarySearch
from rlsp_cli.traces.labels.completions import Completions, Draw, Drawing, Drawn
from rlsp_cli.traces.labels.consensus import Consensus
from rlsp_cli.traces.labels.critic import Critic, Messages, Reply
from rlsp_cli.traces.labels.judge import Judge
from rlsp_cli.traces.labels.labelled import Labelled, first_error
from rlsp_cli.traces.labels.merge import merged
from rlsp_cli.traces.labels.monte_carlo import MonteCarlo
from rlsp_cli.traces.labels.mutation import Mutation, mutants
from rlsp_cli.traces.labels.partial import PartlyRight
from rlsp_cli.traces.labels.refinement import LowStepRefinement
from rlsp_cli.traces.labels.remembered import Remembered
from rlsp_cli.traces.labels.solution import Solution
from rlsp_cli.traces.labels.sorm import Reachable, balanced
from rlsp_cli.traces.labels.tree import Candidate, State, Tree
from tests.toy_process import ToyProcess, first_slip, is_good

Verify = Callable[[Sequence[Sample]], list[Score]]


def solution(response: str, correct: float | None = 0.0, by: str = "lines") -> Solution:
    sample = Sample("Walk.\n", response, "good", correct=correct)
    return Solution("here", sample, tuple(split_steps(response, by)))


def verdicts(samples: Sequence[Sample]) -> list[Score]:
    return [Score("toy", "value", float(is_good(sample.response))) for sample in samples]


def completions(draw: Draw, folder: Path, count: int) -> Completions:
    return Completions(draw, Drawing(count, 64, 1.0, 0), verdicts, Remembered(folder / "answers"))


def walks(toy: ToyProcess, count: int) -> list[Solution]:
    return [replace(solution(one.response), sample=one) for one in toy.samples(count)]


def test_a_prefix_ends_where_the_next_step_begins() -> None:
    lines = solution("a = 1\n\n    b = 2\nc")
    assert [lines.until(count) for count in range(4)] == [
        "", "a = 1\n\n", "a = 1\n\n    b = 2\n", "a = 1\n\n    b = 2\nc",
    ]  # fmt: skip
    assert solution("One. Two.", by="sentences").until(1) == "One."


def test_soft_labels_are_the_values_of_the_process_within_their_intervals(tmp_path: Path) -> None:
    toy, count = ToyProcess(length=6, slip=0.2, mend=0.1), 200
    labeller = MonteCarlo(completions(toy.draw, tmp_path, count), soft=True)

    solutions = walks(toy, 40)
    inside = []
    for one, labelled in zip(solutions, labeller.label(solutions), strict=True):
        for number, label in enumerate(labelled.labels[:-1], 1):
            right = round((label or 0.0) * count)
            interval = mean_share([1.0] * right + [0.0] * (count - right))
            inside.append(interval.low <= toy.value(one.until(number)) <= interval.high)

    # 95% intervals; equal starts of responses are one estimate, so there are fewer than these.
    assert len(inside) == 200
    assert sum(inside) >= 0.92 * len(inside)


def test_hard_labels_and_binary_search_find_every_first_error(tmp_path: Path) -> None:
    toy = ToyProcess(length=8, slip=0.1)  # 16 completions miss a good state in fewer than 1 of 10^3
    wrong = [one for one in walks(toy, 120) if not one.is_right][:40]
    asked = completions(toy.draw, tmp_path, 16)

    sampled = MonteCarlo(asked).label(wrong)
    truth = [first_slip(one.sample.response) for one in wrong]
    assert [first_error(one.labels) for one in sampled] == truth

    fewer = completions(toy.draw, tmp_path / "binary", 16)
    for one in wrong:
        search = BinarySearch(fewer, split_steps, searches=1)
        (found,) = [labelled for labelled in search.label([one]) if labelled.solution is one]
        error = present(first_slip(one.sample.response))
        assert found.labels == (True,) * error + (False,)


def test_what_a_later_step_can_reach_an_earlier_one_can_too(tmp_path: Path) -> None:
    asked = completions(ToyProcess(length=4, slip=0.0).draw, tmp_path, 4)
    right, wrong = solution("bad\ngood\nbad\ngood", 1.0), solution("bad\ngood\nbad\nbad")
    found = Reachable(asked).label([right, wrong, solution("bad\nbad")])
    assert [one.labels for one in found] == [
        (True,) * 4, (True, True, False, False), (False, False),
    ]  # fmt: skip
    # Nothing is asked about right responses, nor about what comes before a right step.
    assert asked.remembered.questions == 3


def test_each_step_number_has_as_many_right_labels_as_wrong_ones() -> None:
    rows = [(True, True, False), (True, False, False), (True, True), (False, False, True), (True,)]
    found = [Labelled(solution("a\nb\nc"), labels) for labels in rows]
    kept = list(balanced([*found, Labelled(found[0].solution, fault="why")], seed=1))
    for number in range(3):
        labels = [one.labels[number] for one in kept if number < len(one.labels)]
        assert labels.count(True) == labels.count(False) == (1, 2, 1)[number]

    for one, before in zip(kept, rows, strict=False):
        assert one.fault == "no label left after balancing" or len(one.labels) == len(before)
        assert all(new in (None, old) for new, old in zip(one.labels, before, strict=False))
    assert kept[-1].fault == "why" and list(balanced(found, seed=1)) == kept[:-1]


def present(number: int | None) -> int:
    assert number is not None
    return number


def test_a_search_asks_about_the_logarithm_of_the_steps(tmp_path: Path) -> None:
    toy = ToyProcess(length=64, slip=0.0)
    asked = completions(toy.draw, tmp_path, 2)
    bad = solution("good\n" * 50 + "bad\n" * 14)
    (found,) = BinarySearch(asked, split_steps, searches=1).label([bad])
    assert found.labels == (True,) * 50 + (False,)
    assert asked.remembered.questions == 1 + math.log2(64)


def test_the_choice_of_states_by_hand() -> None:
    words = " ".join(["word"] * 100)
    likely = Candidate(State(0, value=0.5), solution(words))
    assert likely.priority == pytest.approx(0.5**0.5 * 0.9**0.2)
    after = Candidate(State(1, value=0.4), solution(f"{words}\nshort"))
    assert after.priority == pytest.approx(0.5**0.6 * 0.9 ** (1 / 500))

    # First .69 against .66. Then one visit is counted: .69 + .125 / 2 against .66 + .125.
    tree = Tree()
    tree.add(likely.state, [likely.solution, solution(f"{words} too")])
    tree.add(after.state, [after.solution])
    chosen = [present_one(tree.choose()).state for _ in range(3)]
    assert chosen == [likely.state, after.state, likely.state]
    assert tree.choose() is None


def present_one(candidate: Candidate | None) -> Candidate:
    assert candidate is not None
    return candidate


def test_wrong_completions_are_searched_too_and_what_never_succeeds_is_not(tmp_path: Path) -> None:
    toy = ToyProcess(length=8, slip=0.1)
    wrong = next(one for one in walks(toy, 40) if not one.is_right)
    found = BinarySearch(completions(toy.draw, tmp_path, 16), split_steps, 5).label([wrong])
    assert len(found) == 5 and {one.solution.place for one in found} == {"here", "sampled"}
    assert [first_error(one.labels) for one in found] == [
        first_slip(one.solution.sample.response) for one in found
    ]
    assert len({one.solution.sample.response for one in found}) == 5

    hopeless = ToyProcess(length=8, slip=1.0)
    search = BinarySearch(completions(hopeless.draw, tmp_path / "no", 4), split_steps, 5)
    (none,) = search.label([wrong])
    assert none.fault == "no completion of the prompt is right" and not none.failed


def test_completions_without_a_verdict_are_no_evidence(tmp_path: Path) -> None:
    def half(samples: Sequence[Sample]) -> list[Score]:
        return [Score("toy", "value", 1.0), *[Score("toy", "timeout")] * (len(samples) - 1)]

    asked = replace(completions(ToyProcess().draw, tmp_path, 4), verify=half)
    good = solution("good\ngood", 1.0)
    (found,) = MonteCarlo(asked, soft=True).label([good])
    assert found.labels == (1.0, 1.0)

    none = replace(
        completions(ToyProcess().draw, tmp_path / "none", 4),
        verify=lambda samples: [Score("toy", "timeout")] * len(samples),
    )
    for labeller in (MonteCarlo(none), BinarySearch(none, split_steps, 1)):
        (failed,) = labeller.label([solution("good\nbad")])
        assert failed.failed and failed.labels == ()


def test_what_was_asked_is_not_asked_again(tmp_path: Path) -> None:
    asked: list[str] = []

    def draw(prompt: str, drawing: Drawing) -> Drawn:
        asked.append(prompt)
        return ToyProcess().draw(prompt, drawing)

    bad = solution("good\ngood\nbad")
    first = MonteCarlo(completions(draw, tmp_path, 4)).label([bad])
    again = completions(draw, tmp_path, 4)
    assert MonteCarlo(again).label([bad]) == first
    assert asked == ["Walk.\ngood\n", "Walk.\ngood\ngood\n"]
    assert again.remembered.questions == 2 and again.remembered.tokens == 4 * 7 + 4 * 6

    MonteCarlo(completions(draw, tmp_path, 5)).label([bad])
    assert len(asked) == 4


def test_the_verifier_sees_the_whole_response(tmp_path: Path) -> None:
    seen: list[str] = []

    def verify(samples: Sequence[Sample]) -> list[Score]:
        seen.extend(sample.response for sample in samples)
        return verdicts(samples)

    asked = replace(completions(ToyProcess(slip=0.0).draw, tmp_path, 1), verify=verify)
    MonteCarlo(asked).label([solution("good\nbad")])
    assert seen == ["good\n" + "\n".join(["good"] * 7)]


def scorer(*scores: float | None, outcome: str = "value") -> Judge:
    steps = [StepScore(0, 1, score, score) for score in scores]
    score = Score("judge", outcome, steps=steps, reason="why")  # type: ignore[arg-type]
    return Judge(lambda _: score, threshold=0.5)


def test_a_judged_step_is_right_from_the_threshold_on() -> None:
    three = solution("a\nb\nc")
    assert scorer(0.9, 0.5, 0.4).label([three])[0].labels == (True, True, False)
    assert replace(scorer(0.9, 0.5, 0.4), soft=True).label([three])[0].labels == (0.9, 0.5, 0.4)
    assert scorer(0.9, None, 0.4).label([three])[0].labels == (True, None, False)
    assert scorer(None, None, None).label([three])[0].fault == "no step has a score"

    (failed,) = scorer(outcome="timeout").label([three])
    assert failed.failed and failed.fault == "the scorer ended in timeout: why"


def test_consensus_keeps_the_same_first_error_and_nothing_after_it(tmp_path: Path) -> None:
    toy = ToyProcess(length=4, slip=0.1)
    sampled = MonteCarlo(completions(toy.draw, tmp_path, 16))
    bad = solution("good\ngood\nbad\nbad")

    (agreed,) = Consensus(sampled, scorer(0.9, 0.8, 0.1, 0.9)).label([bad])
    assert agreed.labels == (True, True, False)
    (agreed,) = Consensus(sampled, scorer(0.9, None, 0.1, 0.9)).label([bad])
    assert agreed.labels == (True, True, False)
    (disagreed,) = Consensus(sampled, scorer(0.9, 0.1, 0.1, 0.1)).label([bad])
    assert disagreed.fault == "Monte Carlo and the judge disagree"


def test_a_low_step_is_explained_and_rewritten_and_a_right_response_follows_from_it(
    tmp_path: Path,
) -> None:
    asked: list[Messages] = []

    def chat(messages: Messages, max_tokens: int) -> Reply:
        asked.append(messages)
        return Reply("It slips." if len(messages) == 2 else "<think>Hm.</think>\ngood\n", 7)

    toy = ToyProcess(length=4, slip=0.0)
    remembered = Remembered(tmp_path / "answers")
    drawn = replace(completions(toy.draw, tmp_path, 2), remembered=remembered)
    labeller = LowStepRefinement(scorer(0.9, 0.1, 0.2, 0.9), Critic(chat, remembered), drawn)
    bad = solution("good\nbad\n\nbad\nbad")
    skipped, found = labeller.label([bad, solution("good\ngood", 1.0)])
    assert skipped.fault == "right, and only wrong responses are mended"
    assert found.labels == (True, False) and found.to_row() == {
        "id": "",
        "prompt": "Walk.\n",
        "completions": ["good", "bad"],
        "labels": [True, False],
        "explanation": "It slips.",
        "refined": "good",
        "chosen": "good\ngood\n\ngood\ngood",
        "rejected": bad.sample.response,
    }

    # The critic sees the problem and the steps up to the low one, then what it has said itself.
    first, second = (str(messages) for messages in asked)
    assert first.count("bad") == 1 and "Walk." in first and "'It slips.'" in second
    assert labeller.label([bad]) == [found] and len(asked) == 2
    assert remembered.questions == 3 and remembered.tokens == 7 + 7 + 2 * 2


def test_what_is_not_mended_is_left_out(tmp_path: Path) -> None:
    def mended(slip: float, reply: str, *scores: float, verify: Verify = verdicts) -> Labelled:
        folder = tmp_path / f"{slip}{reply}{scores}{verify.__name__}"
        drawn = completions(ToyProcess(slip=slip).draw, folder, 2)
        critic = Critic(lambda *_: Reply(reply, 1), drawn.remembered)
        labeller = LowStepRefinement(scorer(*scores), critic, replace(drawn, verify=verify))
        (found,) = labeller.label([solution("good\nbad")])
        return found

    def silent(samples: Sequence[Sample]) -> list[Score]:
        return [Score("toy", "timeout")] * len(samples)

    assert mended(0.0, "good", 0.9, 0.8).fault == "no step is below the threshold"
    assert mended(0.0, "<think>good</think>", 0.9, 0.1).fault == "the critic wrote no step"
    hopeless = mended(1.0, "bad", 0.9, 0.1)
    assert hopeless.fault == "no completion of the rewritten step is right" and not hopeless.failed
    assert mended(0.0, "good", 0.9, 0.1, verify=silent).failed


PROGRAM = """\
def mean(values):
    # 3 is no code here

    total = sum(values)
    return total / len(values)"""


def test_a_mutant_changes_one_line_and_is_labelled_by_its_tests() -> None:
    def passes(samples: Sequence[Sample]) -> list[Score]:
        return [Score("tests", "value", float("total / len" in s.response)) for s in samples]

    response = f"Like this:\n```python\n{PROGRAM}\n```\nDone."
    whole, mutant = Mutation(passes).label([solution(response, 1.0)])
    lines = [line for line in PROGRAM.split("\n") if line]
    assert [step.text for step in whole.solution.steps] == lines and whole.labels == (True,) * 4

    assert mutant.labels == (True, True, True, False)
    changed = mutant.solution.sample.response
    assert changed == response.replace("total / len", "total * len")
    assert mutant.to_row()["completions"] == [*lines[:3], "    return total * len(values)"]


def test_mutants_compile_and_those_that_pass_are_right_everywhere() -> None:
    programs = [mutant.program for mutant in mutants("def f(*args):\n    return 1\nx = f() == 1")]
    assert len(programs) == 2 and "return 2" in programs[0]  # `+args` is no Python

    always = Mutation(lambda samples: [Score("tests", "value", 1.0) for _ in samples])
    found = always.label([solution("x = 1\ny = x + 1", 1.0), solution("x = 1")])
    assert [one.labels for one in found] == [(True, True)] * 3 + [()]


def test_a_partly_right_response_ends_at_the_last_state_of_a_right_one() -> None:
    right = solution("Let us see.\n2 * 3 = 6\n4 + 5 = 9\n6 + 9 = 15", 1.0)
    other = solution("so 5 + 4 = 9\nand 3 * 2 = $6$\n9 - 6 = 3\nthen 3 = 3")
    none = solution("Let us see.\n1 + 1 = 2")
    found = PartlyRight().label([right, other, none])
    assert [one.labels for one in found] == [(True,) * 4, (True, True), ()]
    assert found[2].fault == "no state of a right response"


def test_a_merged_step_has_the_label_of_its_second_half() -> None:
    row = Labelled(solution("a\nb\nc"), (True, False, True)).to_row()
    longer = merged(row)
    assert longer in (
        {**row, "completions": ["a\nb", "c"], "labels": [False, True]},
        {**row, "completions": ["a", "b\nc"], "labels": [True, True]},
    )
    assert merged(row) == longer
    assert merged({**row, "completions": ["a"], "labels": [True]}) is None
    json.dumps(longer)
