"""Continuations: asked in workers that can be killed; what they say is a text or an outcome; recipes that name them."""

import json
import re
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.errors import PluginError, UsageError
from rlsp_cli.evals.samplers import Decoding, Request, Response
from rlsp_cli.recipe.continuation import ContinuationUse
from rlsp_cli.recipe.data import Data
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards import MODEL, Sample, Turn, Turns
from rlsp_cli.rewards.cache import VerdictCache
from rlsp_cli.rewards.continuing import Continuer
from rlsp_cli.rewards.ledger import ledger
from rlsp_cli.rewards.plain import as_sample, rollout_row
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.sample import SampleScore, Score
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.rewards.turns import TurnsOutcome
from rlsp_cli.traces.job import TraceJob
from rlsp_cli.traces.keys import RejectionSampling, TraceSettings
from rlsp_cli.traces.make import make_traces
from rlsp_cli.traces.rejection import RejectionSampler
from tests.conftest import load_checked, refusal, rlsp
from tests.optional import present

FILE = '''
import json, os, sys, time

from rlsp_cli.rewards import Sample, continuation


@continuation
def tool(sample: Sample) -> str | None:
    """Does what the last turn says."""
    word = sample.turns.said[-1].text
    if word == "hang":
        time.sleep(60)
    if word == "loop":
        while True:
            pass
    if word == "die":
        os._exit(3)
    if word == "raise":
        raise ValueError("broken\\ntool")
    if word == "number":
        return 408
    if word == "half":
        return "\\ud800"
    if word == "print":
        print(json.dumps({"id": "0", "fit": True, "ms": 0, "outcomes": []}))
        sys.stdout.flush()
    if word == "flood":
        return "x" * 10**7
    return None if word == "end" else word.upper()
'''


def after(words: str) -> Sample:
    """A response of which the model has written these words."""
    return Sample("a prompt", words, turns=Turns((Turn(MODEL, words),)))


def said(name: str, words: str, **options: object) -> str | None:
    """What a shipped continuation says after these words."""
    found = get_plugin("continuation", name).function(after(words), **options)
    assert found is None or isinstance(found, str)
    return found


@pytest.mark.integration
def test_whatever_a_tool_does_is_an_outcome_of_one_response(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILE)
    words = ["hang", "a", "loop", "die", "raise", "number", "half", "print", "end", "b", "flood"]
    use = ContinuationUse(use=f"{file}:tool", timeout_s=2)
    with Continuer(use, Reward(workers=2)) as continuer:
        replies = dict(zip(words, continuer.ask(list(map(after, words))), strict=True))

    assert {word: reply.outcome for word, reply in replies.items()} == {
        **dict.fromkeys(("hang", "loop"), "timeout"),
        **dict.fromkeys(("die", "raise", "number", "half"), "error"),
        **dict.fromkeys(("a", "b", "print", "flood"), "text"),
        "end": "whole",
    }
    assert replies["a"].text == "A" and replies["print"].text == "PRINT"
    assert "ValueError: broken tool (mine.py:" in present(replies["raise"].reason)
    assert present(replies["number"].reason) == "returned 408, expected a text or None"


@pytest.mark.integration
def test_a_response_whose_continuation_broke_is_not_judged(tmp_path: Path) -> None:
    outcomes: tuple[TurnsOutcome, ...] = ("whole", "turns", "error", "timeout")
    samples = [
        Sample("", r"\boxed{4}", "4", str(n), turns=Turns(outcome=outcome, reason="tool: x"))
        for n, outcome in enumerate(outcomes)
    ]
    for cache in (None, str(tmp_path / "verdicts")):
        reward = Reward.model_validate(
            {"correctness": {"use": "exact_match"}, "workers": 1, "cache": cache}
        )
        with Scorer(reward) as scorer:
            scores = scorer.score(samples, 0.8)
        assert [score.correctness.outcome for score in scores] == [
            "value",
            "value",
            "error",
            "timeout",
        ]
        assert [score.reward for score in scores] == [0.8, 0.8, None, None]
        assert scores[2].correctness.reason == "its continuation: tool: x"


def test_a_verdict_without_turns_has_the_key_that_it_had(tmp_path: Path) -> None:
    reward = Reward.model_validate({"correctness": {"use": "exact_match"}, "workers": 1})
    with Scorer(reward) as scorer:
        use = scorer.verifier
    cache = VerdictCache(tmp_path / "verdicts")
    plain = Sample("p", "r", "4")
    assert cache.key(use, plain) != cache.key(use, after("r"))
    cache.close()


def test_turns_are_counted_and_kept_in_rollouts() -> None:
    turns = Turns((Turn(MODEL, "a"), Turn("tool", "b"), Turn(MODEL, "c")), 5, "turns", "why", 7)
    samples = [
        Sample("p", "a\nc", id="1", num_tokens=2, turns=turns),
        Sample("p", "d", id="2", num_tokens=1, turns=Turns((Turn(MODEL, "d"),))),
    ]
    scores = [SampleScore(Score("v", "value", 1.0), (), 1.0)] * 2
    found = ledger(samples, scores, Reward(), 1.0)
    assert found["turns/foreign"] == 0.5 and found["turns/foreign_tokens"] == 2.5
    assert found["turns/turns"] == 1 and found["turns/whole"] == 1 and found["turns/error"] == 0
    assert found["response/tokens"] == 1.5 and found["tokens/other"] == 7

    row = json.loads(json.dumps(rollout_row(0, samples[0], scores[0])))
    assert as_sample(row, "here") == Sample("p", "a\nc", id="1", num_tokens=2, step=0, turns=turns)
    plain = ledger([Sample("p", "a", num_tokens=1)], scores[:1], Reward(), 1.0)
    assert not any(key.startswith("turns/") for key in plain)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("so <calc>12 * 34</calc>", "408"),
        ("<calc>1/3</calc> ", "0.3333333333"),
        ("<calc>-7/2</calc>", "-3.5"),
        ("<calc>0.1 + 0.2</calc>", "0.3"),
        ("<calc>2^10 \u00d7 (3 - 1)</calc>", "2048"),
        ("<calc>9**9**9</calc>", "error"),
        ("<calc>(2**64)**64 * 2</calc>", "error"),
        ("<calc>1/0</calc>", "error"),
        ("<calc>2**0.5</calc>", "error"),
        ("<calc>__import__('os')</calc>", "error"),
        ("<calc>True + 1</calc>", "error"),
        ("<calc>" + "(" * 900 + "</calc>", "error"),
        ("<calc>" + "1+" * 900 + "1</calc>", "error"),
    ],
)
def test_the_calculator_computes_numbers_and_nothing_else(words: str, value: str) -> None:
    assert said("calculator", words) == f"<result>{value}</result>"


def test_the_calculator_answers_an_expression_at_the_end_alone() -> None:
    for words in ("so 4", "<calc>2</calc> is 2", "<calc>2", ""):
        assert said("calculator", words) is None
    options = {"opening": "calc", "closing": "", "result": "{}"}
    assert said("calculator", "first calc 3 * 4", **options) == "12"
    assert said("calculator", "calc 1 2 * 1 0", apart=True, **options) == "1 2 0"


def program(code: str) -> str:
    return f"I run it.\n```python\n{code}\n```"


@pytest.mark.integration
@pytest.mark.parametrize(
    ("code", "output"),
    [
        ("print(12 * 34)", "408"),
        ("print(1)\n1 / 0", "1\nZeroDivisionError: division by zero"),
        ("x = = 1", "SyntaxError: invalid syntax (program.py, line 1)"),
        ("print('`' * 3)", "'''"),
        ("print(input())", "EOFError: EOF when reading a line"),
        ("print('x' * 30)", "x" * 20 + "\n[10 more characters]"),
        ("while True: print('x' * 1000)", "TimeoutError: the prog\n[42 more characters]"),
        ("import time; time.sleep(60)", "TimeoutError: the prog\n[42 more characters]"),
    ],
)
def test_run_python_says_what_a_program_writes(code: str, output: str) -> None:
    most = 22 if output.startswith("TimeoutError") else 20 if "x" * 20 in output else 1000
    found = said("run_python", program(code), seconds=0.5, characters=most)
    assert found == f"```output\n{output}\n```\n"


@pytest.mark.integration
def test_a_program_cannot_reach_the_machine() -> None:
    found = present(said("run_python", program("print(open('/etc/passwd').read())")))
    assert "Error" in found and "root" not in found
    assert "Error" in present(said("run_python", program("import socket; socket.socket()")))


def test_run_python_runs_a_closed_block_at_the_end_alone() -> None:
    for words in ("so 4", "```python\nprint(1)", "```python\nprint(1)\n``` is 1", "```js\n1\n```"):
        assert said("run_python", words) is None


def test_tool_use_pays_for_answers_of_a_tool_in_right_responses() -> None:
    function = get_plugin("exploration_reward", "tool_use").function
    turns = Turns((Turn(MODEL, "a"), Turn("tool", "b"), Turn(MODEL, "c")))
    right, wrong = (Sample("", "a\nc", correct=value, turns=turns) for value in (1.0, 0.0))
    assert function(right) == 1.0 and function(right, most=2) == 0.5
    assert function(wrong) == 0.0 and function(wrong, only_right=False) == 1.0
    assert function(Sample("", "a", correct=1.0)) == 0.0


RECIPE = """
name: x
model: {from_scratch: {}}
data:
  prompts: {source: "task:product", rows: 4}
  heldout: {source: "task:product", split: test, rows: 4}
continuation: {use: calculator, stop: ["</calc>"]}
reward: {correctness: {use: exact_match}, workers: 1}
ppo: {steps: 1, rollout_batch: 4, train_batch: 4, max_new_tokens: 8}
eval: {max_new_tokens: 8}
"""


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("ppo.sampler=vllm", "and vLLM samples here"),
        ("eval.serve=true", "and a server decodes here"),
        ("eval.strategies=[budget_forcing]", "budget_forcing continues responses itself"),
        ("eval.strategies=[search]", "search continues responses itself"),
        (
            "reward.exploration=[{use: value_mc, steps: {dense: true}}]",
            "rewards at the ends of steps are for responses without a continuation",
        ),
    ],
)
def test_what_has_no_turns_is_refused_by_check(key: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(RECIPE)
    load_checked(path)
    refusal(path, [key], words)


def test_a_continuation_that_reads_the_reference_or_breaks_is_refused(tmp_path: Path) -> None:
    from rlsp_cli.preflight.continuation import look_at_continuation

    (tmp_path / "mine.py").write_text(
        FILE.replace("sample.turns", "sample.reference or sample.turns")
    )
    (tmp_path / "x.yaml").write_text(RECIPE)
    key = f"continuation={{use: {tmp_path}/mine.py:tool}}"
    refusal(tmp_path / "x.yaml", [key], "tool reads the reference, which no continuation is given")

    (tmp_path / "other.py").write_text(FILE.replace('word == "raise"', 'word == ""'))
    recipe = load_checked(tmp_path / "x.yaml", f"continuation={{use: {tmp_path}/other.py:tool}}")
    (issue,) = look_at_continuation(recipe, ["ppo"])
    assert "error: ValueError: broken tool" in str(issue)
    assert not list(look_at_continuation(recipe, ["sft"]))


class InTurns:
    """A sampler whose responses have these turns, each with an outcome."""

    def __init__(self, *turns: Turns) -> None:
        self.turns = turns

    def answer(
        self, requests: Sequence[Request], decoding: Decoding, done: Container[int] = ()
    ) -> Iterator[tuple[int, Response]]:
        for row, request in enumerate(requests):
            turns = self.turns[row]
            if row not in done:
                assert request.metadata == {"level": 1}
                yield row, Response("\n".join(turns.own), 7, turns.outcome == "length", turns=turns)


def test_traces_in_turns_are_conversations(tmp_path: Path) -> None:
    said = (Turn(MODEL, "calc 2 * 3"), Turn("calculator", "6"), Turn(MODEL, "so 6"))
    outcomes: tuple[TurnsOutcome, ...] = ("whole", "turns", "error", "length")
    turns = [Turns(said, 1, outcome) for outcome in outcomes]
    turns.append(Turns((Turn(MODEL, "a"), Turn("calculator", " "), Turn(MODEL, "b"))))

    settings = RejectionSampling(model="m", samples=5)
    sampler = RejectionSampler(
        InTurns(*turns),
        settings,
        lambda problem: f"<{problem}>",
        tmp_path / "drafts",
        Data(template="Compute: {problem}"),
    )
    row = RawTrace("here", "1", "2 * 3", "", "6", {"level": 1})
    for found in (sampler.sample([row]), sampler.sample([row])):  # drawn, and read back
        (trace,) = found.rows
        assert trace.solution == "calc 2 * 3\nso 6" and trace.to_row()["messages"] == [
            {"role": "user", "content": "Compute: 2 * 3"},
            {"role": "assistant", "content": "calc 2 * 3"},
            {"role": "user", "content": "6"},
            {"role": "assistant", "content": "so 6"},
        ]
        assert [reason for reason, _ in found.tally.reasons.items()] == [
            "continuation: turns",
            "continuation: error",
            "response cut off at 4096 tokens",
            "a turn is empty",
        ]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": "http://127.0.0.1:1"}, "sample.url is a server"),
        ({"continuation": {"use": "calculator", "stop": ["="]}}, "a stop text ends half of one"),
        ({"continuation": {"use": "critique_refine"}}, "asks 'critic'; name its recipe"),
    ],
)
def test_traces_refuse_a_continuation_that_cannot_answer(
    settings: dict[str, object], words: str, tmp_path: Path
) -> None:
    sample = {"model": "m", "continuation": {"use": "calculator"}, **settings}
    keys = TraceSettings.model_validate({"sample": sample})
    with pytest.raises(UsageError, match=re.escape(words)):
        make_traces(TraceJob(["x.jsonl"], tmp_path / "out.jsonl", "", keys))


@pytest.mark.parametrize(
    ("use", "words"),
    [
        ({"use": "calculater"}, 'did you mean "calculator"'),
        ({"use": "calculator", "closng": ""}, "closng"),
    ],
)
def test_traces_refuse_an_unknown_continuation_as_any_unknown_plugin(
    use: dict[str, str], words: str, tmp_path: Path
) -> None:
    keys = TraceSettings.model_validate({"sample": {"model": "m", "continuation": use}})
    with pytest.raises(PluginError, match=words) as raised:
        make_traces(TraceJob(["x.jsonl"], tmp_path / "out.jsonl", "", keys))
    assert raised.value.exit_code == 3


@pytest.mark.integration
def test_the_recipe_trains_and_is_evaluated_in_turns(tmp_path: Path) -> None:
    rlsp(
        "run",
        "turns/product",
        *("sft.max_steps=60", "data.traces.rows=600", "data.traces.options={ask: 1.0}"),
        *("ppo.steps=2", "ppo.rollout_batch=16", "ppo.train_batch=16", "ppo.micro_batch=16"),
        *("ppo.critic_warmup_steps=1", "ppo.eval_every=1", "eval.limit=8"),
        *("--out", tmp_path / "run"),
    )
    metrics = list(jsonl(tmp_path / "run" / "ppo" / "metrics.jsonl"))
    assert all(row["turns/foreign"] > 0 and row["heldout/tokens"] > 0 for row in metrics)
    for row in jsonl(tmp_path / "run" / "ppo" / "rollouts.jsonl"):
        assert row["response"] == "\n".join(Turns.from_json(row["turns"]).own)

    answers = tmp_path / "run" / "eval" / "ppo" / "heldout"
    said = [Turns.from_json(row["turns"]) for row in jsonl(answers / "samples.jsonl")]
    assert any(one.foreign for one in said)
    protocol = json.loads((answers / "protocol.json").read_text())
    assert protocol["continuation"]["use"] == "calculator"


def jsonl(path: Path) -> Iterator[dict[str, Any]]:
    return map(json.loads, path.read_text().splitlines())
