"""Evaluation: every response written down, restarts that end the same, benches that are complete."""

import json
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path

import pytest

from rlsp_cli.errors import DataError, NotReadyError
from rlsp_cli.evals.benches import Benches
from rlsp_cli.evals.evaluate import evaluate
from rlsp_cli.evals.results import BenchResult
from rlsp_cli.evals.samplers import Decoding, ReplaySampler, Request, Response
from rlsp_cli.recipe.data import Data
from rlsp_cli.recipe.eval import Eval
from rlsp_cli.rewards.sample import Sample, Score
from rlsp_cli.runs.paths import AnswerPaths
from rlsp_cli.runs.stream import read_rows

GREEDY = Decoding(temperature=0.0, top_p=1.0, max_new_tokens=1, seed=0)


class Seeded:
    """Answers with its seed, so that equal responses mean equal seeds."""

    def answer(
        self, requests: Sequence[Request], decoding: Decoding, done: Container[int] = ()
    ) -> Iterator[tuple[int, Response]]:
        for row, request in enumerate(requests):
            if row not in done:
                yield (
                    row,
                    Response(
                        f"{decoding.seed} {decoding.temperature} {request.id} {request.index}",
                        1,
                        False,
                    ),
                )


def verify(samples: Sequence[Sample]) -> list[Score]:
    return [
        Score("odd", "value", float(len(sample.response) % 2), sample.response)
        for sample in samples
    ]


def heldout(rows: int) -> Data:
    return Data.model_validate(
        {"heldout": {"source": "task:pair_sum", "split": "test", "rows": rows}}
    )


def run(out: Path, stop_after: int | None = None, seed: int = 1) -> BenchResult:
    settings = Eval(samples=2, batch=4)
    bench = Benches(settings, heldout(9)).load("heldout")

    def tick(done: int, total: int) -> None:
        if done == stop_after:
            raise KeyboardInterrupt

    return evaluate(
        bench, Seeded(), verify, settings, seed=seed, prompt=str, paths=AnswerPaths(out), tick=tick
    )


@pytest.mark.parametrize("stop_after", [1, 4, 13, 27])
def test_an_interrupted_evaluation_ends_with_the_same_responses(
    tmp_path: Path, stop_after: int
) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", stop_after)
    with (tmp_path / "parts" / "samples.jsonl").open("a") as stream:
        stream.write('{"id": "half a li')
    assert run(tmp_path / "parts") == whole
    assert list(read_rows(tmp_path / "parts" / "samples.jsonl")) == list(
        read_rows(tmp_path / "whole" / "samples.jsonl")
    )
    assert (
        whole.greedy
        and whole.greedy.responses == 9
        and whole.sample
        and whole.sample.responses == 18
    )


def test_a_response_that_a_crash_lost_in_the_middle_of_a_problem_is_made_again(
    tmp_path: Path,
) -> None:
    whole, samples = run(tmp_path), tmp_path / "samples.jsonl"
    lines = samples.read_text().splitlines(keepends=True)
    samples.write_text("".join(lines[:-1]))  # the second of the last problem's two samples
    assert run(tmp_path) == whole
    assert samples.read_text() == "".join(lines)


def test_responses_made_in_another_way_are_not_mixed_with_new_ones(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(DataError, match="seed was 1, is 2"):
        run(tmp_path, seed=2)


def test_two_problems_of_one_id_are_refused(tmp_path: Path) -> None:
    rows = '{"id": "a", "problem": "1+1", "answer": "2"}\n{"id": "a", "problem": "2+2", "answer": "4"}\n'
    (tmp_path / "aime24.jsonl").write_text(rows)
    with pytest.raises(DataError, match=r"2 problems have the id 'a' \(column 'id'\)"):
        Benches(Eval(data=str(tmp_path))).load("aime24")


def test_the_protocol_tells_prompts_and_benches_apart(tmp_path: Path) -> None:
    settings = Eval(samples=0)
    benches = [Benches(settings, heldout(rows)).load("heldout") for rows in (3, 4)]
    prompts: tuple[Callable[[str], str], ...] = (str, str.upper)
    protocols = [
        evaluate(
            bench,
            Seeded(),
            verify,
            settings,
            seed=0,
            prompt=prompt,
            paths=AnswerPaths(tmp_path / f"{i}{j}"),
        ).protocol
        for i, bench in enumerate(benches)
        for j, prompt in enumerate(prompts)
    ]
    assert len({p.bench_digest for p in protocols}) == 2
    assert len({p.prompt_digest for p in protocols}) == 4


def test_a_bench_is_read_from_a_file_a_folder_or_the_environment(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_file = Benches(Eval(data=str(shared_data / "aime24.jsonl"))).load("aime24")
    by_folder = Benches(Eval(data=str(shared_data))).load("aime24")
    monkeypatch.setenv("RLSP_DATA_DIR", str(shared_data))
    by_environment = Benches(Eval()).load("aime24")
    assert len(by_file.problems) == 30
    assert by_file.digest == by_folder.digest == by_environment.digest
    assert len(Benches(Eval(limit=7)).load("math500").problems) == 7


def test_a_bench_that_is_not_to_be_had_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RLSP_DATA_DIR", raising=False)
    with pytest.raises(NotReadyError, match="--data FILE"):
        Benches(Eval()).load("aime24")
    with pytest.raises(NotReadyError, match=r"aime24.jsonl does not exist"):
        Benches(Eval(data=str(tmp_path))).load("aime24")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"id": "a", "response": null}', "r.jsonl:1: response holds NoneType, expected text"),
        ('{"id": "a"}', "r.jsonl:1: needs id and response"),
        (
            '{"id": "a", "response": "x", "num_tokens": "9"}',
            "r.jsonl:1: num_tokens holds str, expected a whole number",
        ),
        (
            '{"id": "a", "response": "x", "scores": {"rm": NaN}}',
            "r.jsonl:1: the score rm is nan, expected a number",
        ),
        ('{"id": "a", ', "r.jsonl:1:13: not valid JSON"),
    ],
)
def test_a_malformed_response_is_told_with_its_line(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "r.jsonl").write_text(line)
    with pytest.raises(DataError, match=words):
        ReplaySampler.from_file(tmp_path / "r.jsonl")


def test_what_else_is_known_of_a_given_response_is_kept(tmp_path: Path) -> None:
    row = {"id": "a", "response": "x", "num_tokens": 9, "truncated": True, "scores": {"rm": 0.5}}
    (tmp_path / "r.jsonl").write_text(
        json.dumps(row) + '\n{"id": "a", "response": "y", "num_tokens": null}\n'
    )
    sampler = ReplaySampler.from_file(tmp_path / "r.jsonl", uneven=True)
    requests = [Request("a", "", index) for index in range(5)]
    found = [response for _, response in sampler.answer(requests, GREEDY)]
    assert found == [Response("x", 9, True, {"rm": 0.5}), Response("y")]


def test_responses_to_problems_that_the_bench_does_not_have_are_counted_and_all_of_them_refused() -> (
    None
):
    given = ReplaySampler({"1": [Response("a")], "2": [Response("b")]})
    assert given.count_unknown(["1", "2", "3"]) == 0 and given.count_unknown(["2"]) == 1
    assert ReplaySampler({}).count_unknown(["1"]) == 0
    with pytest.raises(DataError, match="ids such as '1', expected 'x'"):
        given.count_unknown(["x", "y"])


def test_given_responses_must_cover_the_bench(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text(
        '{"id": "a", "response": "x"}'
    )  # no newline at the end: still a response
    sampler = ReplaySampler.from_file(tmp_path / "r.jsonl")
    assert list(sampler.answer([Request("a", "")], GREEDY)) == [(0, Response("x", None, False))]
    with pytest.raises(DataError, match="problem 'b': 0 responses given, 1 wanted"):
        list(sampler.answer([Request("b", "")], GREEDY))
