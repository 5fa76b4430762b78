"""The reward seam inside OpenRLHF: its real executor, data sets, trainer and advantages against our real service."""

import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from rlsp_cli.backends import compile_stage
from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.job import Job
from rlsp_cli.backends.openrlhf.files import OpenRlhfFiles
from rlsp_cli.backends.openrlhf.journal import Journal
from rlsp_cli.backends.sections import ppo_section
from rlsp_cli.engine import advantage
from rlsp_cli.engine.batch import batch_rows
from rlsp_cli.errors import SafetyError
from rlsp_cli.launch.job import prepare
from rlsp_cli.launch.ray.service import RewardService
from rlsp_cli.recipe.dump import dump_recipe
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.rewards.sample import Sample, SampleScore, Score
from rlsp_cli.runs.paths import RunPaths, StagePaths
from rlsp_cli.runs.run import create_run
from rlsp_cli.runs.stream import read_rows

pytestmark = pytest.mark.integration

SEAM = Path(__file__).parent / "openrlhf" / "seam.py"
TOKEN, SAMPLES, STEPS = "s3cret", 4, 4
PLUGINS = """
import time
from collections.abc import Sequence
from pathlib import Path
from rlsp_cli.rewards import Sample, exploration_reward

@exploration_reward
def effort(sample: Sample) -> float | None:
    words = sample.response.split()
    if "raise" in words:
        raise ValueError("told to raise")
    if "slow" in words:
        time.sleep(600)
    while "hold" in words and Path(__file__).with_name("held").exists():
        time.sleep(0.02)
    given = {"nan": float("nan"), "inf": float("inf"), "none": None}
    return next((given[word] for word in words if word in given), min(len(words), 8) / 8)

@exploration_reward
def reward(sample: Sample) -> float:
    return -5.0

@exploration_reward
def crowd(group: Sequence[Sample]) -> list[float]:
    return [float(len(group))] * len(group)
"""
RECIPE = f"""\
schema_version: 1
name: seam
seed: 3
model:
  from_scratch: {{hidden_size: 32, num_layers: 1, num_heads: 1, intermediate_size: 32, max_length: 96}}
data:
  prompts: {{source: ./problems.jsonl}}
  heldout: {{source: ./heldout.jsonl}}
reward:
  alpha: {{start: 1.0, end: 0.0}}
  correctness: {{use: exact_match}}
  exploration:
    - {{use: ./mine.py:effort, timeout_s: 2}}
    - {{use: ./mine.py:reward, weight: 0.0}}
  timeout_s: 20
ppo:
  backend: openrlhf
  steps: {STEPS}
  rollout_batch: 4
  samples_per_prompt: {SAMPLES}
  train_batch: 16
  micro_batch: 4
  max_prompt_tokens: 32
  max_new_tokens: 32
  critic_warmup_steps: 1
  eval_every: 2
cluster: {{gpus_per_node: 0}}
"""
PROBLEMS: list[dict[str, Any]] = [
    {"problem": "What is 3 + 4 ?", "answer": "7"},
    {"problem": 'Say "so" in words: raise slow hold nan inf none good \\boxed{}', "answer": "good"},
    {"problem": "Wie gro\u00df ist 2 + 5 \u2014 {genau} ?", "answer": 7, "id": "\u00fcbung/1"},
    {"problem": "Half of 7 ?", "answer": "\\frac{7}{2}"},
]
HELDOUT = [
    {"problem": "What is 5 + 2 ?", "answer": "7"},
    {"problem": "Half of 2 + 2 ?", "answer": "2"},
]
RIGHT, WRONG = "good good \\boxed{ 7 }", "good \\boxed{ 3 }"
THEIRS = {
    *(
        "reward",
        "score",
        "kl",
        "return",
        "logprobs_diff",
        "response_clip_ratio",
        "group_reward_std",
    ),
    *("ppo_kl", "ppo_clip_ratio"),
}
"""Names in the logs of OpenRLHF."""


class Done(NamedTuple):
    """How a request to OpenRLHF's interpreter ended."""

    code: int
    answer: Any
    log: str


class OpenRlhf:
    """Its interpreter, with tests/openrlhf/seam.py."""

    def __init__(self, environment: Environment, variables: dict[str, str], folder: Path) -> None:
        self.folder, self.number = folder, 0
        with (folder / "openrlhf.log").open("wb") as log:
            self.process = subprocess.Popen(
                [*environment.python(folder), str(SEAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **variables},
                cwd=folder,
            )
        self.thread = ThreadPoolExecutor(1)

    def start(
        self, stage: "Stage", do: str, env: dict[str, str] | None = None, **what: Any
    ) -> "Future[Done]":
        """Begin a request in a stage's folder; the next one begins when it is over."""
        self.number += 1
        answer, log = (self.folder / f"{self.number}.{kind}" for kind in ("json", "log"))
        hook = what.pop("hook", True)
        request = {"do": do, "with": what, "folder": str(stage.paths.root), "hook": hook}
        return self.thread.submit(
            self._do, {**request, "env": env or {}, "answer": str(answer), "log": str(log)}
        )

    def do(self, *arguments: Any, **what: Any) -> Any:
        """The answer of a request that must not fail."""
        done = self.start(*arguments, **what).result(120)
        assert done.code == 0, done.log
        return done.answer

    def _do(self, request: dict[str, Any]) -> Done:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        code = int(self.process.stdout.readline())
        answer = Path(request["answer"])
        return Done(
            code,
            json.loads(answer.read_text()) if answer.exists() else None,
            Path(request["log"]).read_text(),
        )


class Stage(NamedTuple):
    """A PPO stage that was compiled and set up."""

    paths: StagePaths
    job: Job

    @property
    def model(self) -> str:
        return str(self.paths.root / "base")

    def prompt(self, number: int) -> str:
        """A prompt as its file has it."""
        rows = lines(self.paths.root / "prompts.jsonl")
        found = {json.loads(row["label"])["reference"]: row["prompt"] for row in rows}
        return str(found[str(PROBLEMS[number]["answer"])])

    def sample(self, text: str, number: int = 0, **label: Any) -> list[str]:
        """A prompt of the data, its label, and a response."""
        told = {"id": str(number), "reference": "7", **label}
        return [self.prompt(number), json.dumps(told), text]

    @contextmanager
    def serving(self, *options: str) -> Iterator["Serving"]:
        """The service of the job, as the driver keeps it."""
        argv = (
            sys.executable,
            "-P",
            "-m",
            "rlsp_cli.backends.openrlhf",
            "serve",
            str(self.paths.job),
            *options,
        )
        service = RewardService(argv, "127.0.0.1", TOKEN, self.paths.root, print)
        try:
            service.start(120)
            yield Serving(service)
        finally:
            service.close()


class Serving(NamedTuple):
    """A service that runs."""

    service: RewardService

    @property
    def env(self) -> dict[str, str]:
        return {"RLSP_REWARD_URL": self.service.url, "RLSP_REWARD_TOKEN": TOKEN}

    def tell(self, **event: Any) -> tuple[int, Any]:
        """What a POST to /event says."""
        return self.post("/event", event)

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
        try:
            request = urllib.request.Request(
                self.service.url + path, json.dumps(body).encode(), headers
            )
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def until_up(self) -> None:
        """Return when it listens again."""
        while True:
            try:
                self.get("/health")
                return
            except OSError:
                assert self.service.child is not None and self.service.child.poll() is None
                time.sleep(0.05)

    def get(self, path: str) -> str:
        request = urllib.request.Request(
            self.service.url + path, headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            return str(reply.read().decode())

    def kill(self) -> None:
        """As the kernel does when memory is short."""
        assert self.service.child is not None
        os.kill(self.service.child.pid, signal.SIGKILL)
        self.service.child.wait()


def lines(path: Path) -> list[dict[str, Any]]:
    return list(read_rows(path))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, openrlhf_environment: Environment) -> Stage:
    folder = tmp_path_factory.mktemp("seam")
    (folder / "mine.py").write_text(PLUGINS)
    (folder / "seam.yaml").write_text(RECIPE)
    for name, rows in (("problems", PROBLEMS), ("heldout", HELDOUT)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = create_run(
        load_recipe(folder / "seam.yaml", plugins=resolve_options), None, folder / "run"
    )
    job, paths = (
        compile_stage(run.recipe, "ppo", run.paths, openrlhf_environment),
        run.paths.stage("ppo"),
    )
    prepare(job, paths)
    subprocess.run(job.setup[0], check=True)
    return Stage(paths, job)


def varied(stage: Stage, folder: Path, *changes: str) -> Stage:
    """The same stage in another place, with another recipe and no journal."""
    old, new = stage.paths.root.parent, folder / "run"
    shutil.copytree(old, new)
    for name in ("metrics.jsonl", "rollouts.jsonl", "replies.jsonl"):
        (new / "ppo" / name).unlink(missing_ok=True)
    paths = RunPaths(new)
    paths.resolved.write_text(
        dump_recipe(load_recipe(paths.resolved, changes, plugins=resolve_options))
    )
    job = paths.stage("ppo").job
    job.write_text(job.read_text().replace(str(old), str(new)))
    return Stage(paths.stage("ppo"), stage.job)


@pytest.fixture(scope="module")
def theirs(
    stage: Stage, openrlhf_environment: Environment, tmp_path_factory: Any
) -> Iterator[OpenRlhf]:
    peer = OpenRlhf(
        openrlhf_environment, stage.job.inputs["ray"]["env"], tmp_path_factory.mktemp("openrlhf")
    )
    with peer.process:
        yield peer
        peer.process.kill()


@pytest.fixture(scope="module")
def serving(stage: Stage) -> Iterator[Serving]:
    with stage.serving() as service:
        yield service


def execute(
    theirs: OpenRlhf, stage: Stage, service: Serving, samples: list[list[str]]
) -> dict[str, Any]:
    """Samples through the real executor; what training gets is whole."""
    found = theirs.do(stage, "execute", service.env, model=stage.model, samples=samples)
    assert found["none"] == 0 and "error" not in found
    for column in (found["rewards"], *found["info"].values()):
        assert len(column) == len(samples) and all(math.isfinite(value) for value in column)
    assert not THEIRS & set(found["keys"][0])
    return dict(found)


def refused(theirs: OpenRlhf, stage: Stage, env: dict[str, str], sample: list[Any]) -> str:
    """The line with which the process ended; nothing was handed on."""
    done = theirs.start(
        stage,
        "execute",
        {**env, "RLSP_REWARD_PATIENCE_S": "3"},
        model=stage.model,
        samples=[sample],
    )
    code, answer, log = done.result(120)
    assert (code, answer) == (1, None)
    (line,) = [line for line in log.splitlines() if line.startswith("rlsp: ")]
    return line


def test_openrlhf_reads_prompts_and_labels_as_our_setup_wrote_them(
    theirs: OpenRlhf, stage: Stage, serving: Serving
) -> None:
    files = {name: str(stage.paths.root / f"{name}.jsonl") for name in ("prompts", "heldout")}
    read = theirs.do(stage, "read_data", serving.env, model=stage.model, **files, take=11, again=6)
    written = {
        name: [["default", row["prompt"], row["label"], None] for row in lines(Path(file))]
        for name, file in files.items()
    }
    assert read["heldout"] == written["heldout"] and not read["evaluates"]
    order = [row for step in range(3) for row in batch_rows(len(PROBLEMS), 4, step, 3)]
    assert read["train"] == [
        written["prompts"][row] for row in order[:11]
    ]  # as the local engine, also after a resume
    assert read["updates"] == STEPS
    labels = [json.loads(row[2]) for row in written["prompts"]]
    assert [label["reference"] for label in labels] == ["7", "good", "7", "\\frac{7}{2}"]
    assert "\u00fcbung/1" in {label["id"] for label in labels} and not any(
        "heldout" in label for label in labels
    )
    assert all(json.loads(label)["heldout"] for _, _, label, _ in read["heldout"])


def texts_by(stage: Stage, passing: int) -> dict[str, list[str]]:
    """Responses by the id of their problem; those to the first `passing` problems are right and wrong, others right."""
    ids = [json.loads(row["label"])["id"] for row in lines(stage.paths.root / "prompts.jsonl")]
    answers = [f"\\boxed{{{problem['answer']}}}" for problem in PROBLEMS]
    return {
        name: [answer, WRONG, answer, WRONG] if number < passing else [answer] * 4
        for number, (name, answer) in enumerate(zip(ids, answers, strict=True))
    }


FILTERING = (
    "ppo.estimator=group_norm",
    "ppo.critic_warmup_steps=0",
    "ppo.select={use: pass_rate, lo: 0.01, hi: 0.99}",
)


def test_filtering_keeps_the_number_of_steps_and_whole_rollouts_and_counts_what_it_leaves_out(
    theirs: OpenRlhf, stage: Stage, tmp_path: Path
) -> None:
    other = varied(stage, tmp_path, *FILTERING)
    prompts, texts = str(other.paths.root / "prompts.jsonl"), texts_by(other, 3)
    how = {"steps": STEPS, "size": 4, "samples": SAMPLES, "between": [0, 1]}
    with other.serving() as serving:
        found = theirs.do(
            other, "rollouts", serving.env, model=other.model, prompts=prompts, texts=texts, **how
        )
        for step in range(STEPS):
            assert serving.tell(event="step", step=step, numbers={})[0] == 200
        over = theirs.do(
            other,
            "rollouts",
            serving.env,
            model=other.model,
            prompts=prompts,
            texts=texts,
            made=STEPS,
            **how,
        )
    assert (
        over["made"] == [[]] and over["asked"] == []
    )  # a training that was saved after its last step is at its end
    assert [len(rollout) for rollout in found["made"]] == [4 * SAMPLES] * STEPS and found[
        "updates"
    ] == STEPS
    left_out = list(texts)[3]
    assert all(left_out not in rollout for rollout in found["made"])
    rows = lines(other.paths.metrics)
    assert [row["correctness/mean"] for row in rows] == [0.5] * STEPS
    assert [row["outcome/value"] for row in rows] == [
        3 * 4 * SAMPLES
    ] * STEPS  # three components, and no others
    assert sum(row["filtered"] for row in rows) == SAMPLES * found["asked"].count(left_out) > 0


STEP_SCORER = """
from collections.abc import Sequence
from rlsp_cli.rewards import Sample, step_scorer

@step_scorer
def early(sample: Sample, steps: Sequence[str]) -> list[float | None]:
    known = {"good": 0.75, "slow": 0.25}
    return [known.get(step.split()[0]) for step in steps]
"""


def test_steps_are_paid_at_the_tokens_that_end_them(
    theirs: OpenRlhf, stage: Stage, tmp_path: Path
) -> None:
    (tmp_path / "early.py").write_text(STEP_SCORER)
    use = f"{{use: '{tmp_path}/early.py:early', on_abstain: {{penalise: 0}}, "
    steps = "steps: {by: sentences, dense: true, refine: []}}"
    other = varied(stage, tmp_path, "reward.alpha=0.5", f"reward.exploration={use}{steps}")
    prompts = str(other.paths.root / "prompts.jsonl")
    said = ["good is 3 ? slow is 4 ? is 7 ? \\boxed{ 7 }", "is 7 ? \\boxed{ 7 }"]
    texts = dict.fromkeys(texts_by(other, 0), said * 2)

    with other.serving() as serving:
        how = {"model": other.model, "prompts": prompts, "texts": texts, "samples": SAMPLES}
        both = theirs.do(other, "paid", serving.env, estimators=["reinforce", "rloo"], **how)

    found, without_mean = both["reinforce"], both["rloo"]
    assert len(found) == len(texts) * SAMPLES
    for one in found:
        rewards = _differences(one["returns"])
        places = [until.rstrip() for until, r in zip(one["until"], rewards, strict=True) if r]
        correct = float(one["id"] in right_ids(other))
        if "good is" in one["until"][-1]:
            worth = [0.375, 0.125, *([0.5] if correct else [])]
            ends = ["good is 3?", "slow is 4?"]
            assert [place[-len(end) :] for place, end in zip(places, ends, strict=False)] == ends
        else:
            worth = [0.5] if correct else []
        assert [r for r in rewards if r] == pytest.approx(worth)

    # With a baseline the parts move as well, and the sum is that of the whole reward.
    for one, other_one in zip(found, without_mean, strict=True):
        moved = _differences(other_one["returns"])
        steps_paid = [r for r in _differences(one["returns"])[:-1] if r]
        assert [r for r in moved[:-1] if r] == pytest.approx(steps_paid)


def right_ids(stage: Stage) -> set[str]:
    """Ids of the problems whose answer is 7."""
    rows = [json.loads(row["label"]) for row in lines(stage.paths.root / "prompts.jsonl")]
    return {row["id"] for row in rows if str(row["reference"]) == "7"}


def _differences(returns: list[float]) -> list[float]:
    """Rewards of single tokens from the returns there."""
    following = [*returns[1:], 0.0]
    return [round(one - after, 6) for one, after in zip(returns, following, strict=True)]


def test_a_filter_that_leaves_nothing_ends_the_run_and_says_so(
    theirs: OpenRlhf, stage: Stage, tmp_path: Path
) -> None:
    other = varied(stage, tmp_path, *FILTERING)
    prompts, texts = str(other.paths.root / "prompts.jsonl"), texts_by(other, 0)
    how = {"steps": STEPS, "size": 4, "samples": SAMPLES, "between": [0, 1]}
    with other.serving() as serving:
        found = theirs.do(
            other, "rollouts", serving.env, model=other.model, prompts=prompts, texts=texts, **how
        )
    report = json.loads((other.paths.root / "error.json").read_text())
    assert (
        report["exit_code"] == 7 and "80 prompts were asked for a rollout of 4" in report["message"]
    )
    assert found == {"made": [], "ended": f"FilteredError: {report['message']}"}


def test_every_way_to_fail_gives_training_a_number_and_the_same_columns(
    theirs: OpenRlhf, stage: Stage, serving: Serving
) -> None:
    texts = [
        RIGHT,
        WRONG,
        "",
        "raise",
        "nan",
        "inf",
        "none",
        "slow",
        "good " * 500_000,
        "\\boxed{ 7",
        *[RIGHT] * 54,
    ]
    found = execute(theirs, stage, serving, [stage.sample(text) for text in texts])
    assert all(keys == found["keys"][0] for keys in found["keys"])
    names = ("effort", "correctness", "exploration", "answered", "unscored", "alpha", "request")
    assert set(found["keys"][0]) == {f"rlsp_{name}" for name in names}
    info = found["info"]
    assert (
        info["rlsp_unscored"][:10] == [0, 0, 0, 1, 1, 1, 1, 1, 0, 0]
        and sum(info["rlsp_unscored"]) == 5
    )
    assert (
        info["rlsp_correctness"][0] == info["score"][0] == 1
        and info["rlsp_correctness"][1] == info["score"][1] == 0
    )
    assert (
        info["rlsp_alpha"] == [1.0] * len(texts)
        and found["rewards"][0] == 1
        and found["rewards"][1] == 0
    )
    assert all(
        0 <= found["rewards"][row] <= 1 for row in range(3, 8)
    )  # the mean of those that were scored so far


def test_labels_of_every_kind(theirs: OpenRlhf, stage: Stage, serving: Serving) -> None:
    kinds = ["7", 7, 7.5, True, None, "", {"a": 1}, [7], "\u221a7 \U0001f600 \u0000", "x" * 100_000]
    samples = [stage.sample(RIGHT, reference=kind) for kind in kinds]
    samples += [
        [stage.prompt(0), json.dumps(label), RIGHT] for label in (7, "7", None, {"id": 5}, [7])
    ]
    found = execute(theirs, stage, serving, samples)
    right = [row for row, value in enumerate(found["info"]["rlsp_correctness"]) if value == 1]
    assert (
        right == [0, 1, 10, 11] and sum(found["info"]["rlsp_unscored"]) == 0
    )  # without a reference nothing is right


def test_heldout_rows_get_correctness_alone(
    theirs: OpenRlhf, stage: Stage, serving: Serving
) -> None:
    texts = [RIGHT, WRONG, "slow", "raise"]
    found = execute(theirs, stage, serving, [stage.sample(text, heldout=True) for text in texts])
    assert (
        found["rewards"] == found["info"]["score"] == [1, 0, 0, 0]
        and found["keys"] == [["rlsp_request", "rlsp_unscored"]] * 4
    )
    found = execute(theirs, stage, serving, [stage.sample(RIGHT, heldout=True, reference=None)])
    assert found["rewards"] == [0]


def test_what_no_waiting_would_mend_ends_the_process_at_once(
    theirs: OpenRlhf, stage: Stage, serving: Serving
) -> None:
    good = stage.sample(RIGHT)
    assert "HTTP 401" in refused(theirs, stage, {**serving.env, "RLSP_REWARD_TOKEN": "wrong"}, good)
    unknown = [f"{good[0]} unheard", *good[1:]]
    assert (
        "HTTP 422" in (line := refused(theirs, stage, serving.env, unknown))
        and "contain its prompt" in line
    )
    assert "JSONDecodeError" in refused(theirs, stage, serving.env, [good[0], "7 apples", RIGHT])
    assert "TypeError" in refused(theirs, stage, serving.env, [good[0], None, RIGHT])
    assert "RLSP_REWARD_URL" in refused(theirs, stage, {"RLSP_REWARD_TOKEN": TOKEN}, good)


def test_a_function_that_raises_leaves_training_without_a_reward_there(
    theirs: OpenRlhf, stage: Stage
) -> None:
    bare = stage.paths.root / "bare.py"
    bare.write_text(
        "def reward_func(queries, prompts, labels):\n    return {'rewards': 1 / float(labels[0])}\n"
    )
    for labels, none in (("0", "0"), 2), (("1", "0"), 1), (("1", "2"), 0):
        samples = [[stage.prompt(0), label, RIGHT] for label in labels]
        found = theirs.do(
            stage, "execute", {}, model=stage.model, samples=samples, reward="bare.py", hook=False
        )
        assert found["none"] == none and (none == 0) == (found.get("rewards") == [1.0, 0.5])


def rude(port: int) -> threading.Thread:
    """Something on the service's port that answers every way but the right one, each way once."""
    whole = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    answers = [
        b"",
        b"nonsense\r\n\r\n",
        whole % (b"200 OK", 1000, b'{"rewards": 1'),
        whole % (b"200 OK", 4, b"well"),
        whole % (b"500 Oh", 1000, b"cut off"),
        whole % (b"500 Oh", 2, b"{}"),
        whole % (b"503 Busy", 2, b"{}"),
    ]
    listener = socket.create_server(("127.0.0.1", port))

    def answer() -> None:
        with listener:
            for text in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(text)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    return thread


def test_it_waits_for_a_service_that_is_not_there_yet_or_no_longer(
    theirs: OpenRlhf, stage: Stage, tmp_path: Path
) -> None:
    mine = stage.paths.root.parent.parent / "mine.py"
    other = varied(stage, tmp_path, f"reward.exploration={{use: {mine}:effort, timeout_s: 300}}")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    stranger, env = (
        rude(port),
        {"RLSP_REWARD_URL": f"http://127.0.0.1:{port}", "RLSP_REWARD_TOKEN": TOKEN},
    )
    env["http_proxy"] = "http://127.0.0.1:9"
    waiting = theirs.start(other, "execute", env, model=other.model, samples=[other.sample(RIGHT)])
    stranger.join(300)
    held = mine.with_name("held")
    with other.serving("--port", str(port)) as serving:
        assert waiting.result(300).answer["rewards"] == [1.0]
        held.touch()
        samples = [
            other.sample("hold " + RIGHT),
            other.sample(RIGHT),
            other.sample("hold " + WRONG),
        ]
        waiting = theirs.start(other, "execute", env, model=other.model, samples=samples)
        while json.loads(serving.get("/health"))["in_work"] < 2:
            assert not waiting.done()
            time.sleep(0.05)
        serving.kill()
        held.unlink()
        serving.service.tend(progress=False)
        done = waiting.result(300)
        assert done.code == 0 and done.answer["rewards"] == [1.0, 1.0, 0.0], done.log
        found = execute(theirs, other, serving, [other.sample("raise")])
        mean = (
            1 + 1 + 1 + 0
        ) / 4  # whatever of them was answered before the kill, and whatever after it
        assert found["rewards"] == [mean] and found["info"]["rlsp_unscored"] == [1]


def test_a_request_that_is_asked_again_gets_the_same_answer_and_counts_once(
    stage: Stage, tmp_path: Path
) -> None:
    """Asked twice at once, again after its answer, and again after the service died with the answer given."""
    other = varied(stage, tmp_path)
    prompt = other.prompt(0)

    def asked(service: Serving, number: int, text: str) -> Any:
        label = {"id": "0", "reference": "7"}
        body = {"query": f"{prompt} {text} ", "prompts": prompt, "labels": label, "request": number}
        status, said = service.post("/", body)
        assert status == 200
        return said

    with other.serving() as serving, ThreadPoolExecutor() as threads:
        ask = partial(asked, serving)
        first = ask(1, RIGHT)
        twice = [threads.submit(ask, 2, WRONG) for _ in range(2)]
        assert twice[0].result() == twice[1].result() and ask(1, RIGHT) == first
        serving.kill()
        serving.service.tend(progress=True)
        serving.until_up()
        assert ask(2, WRONG) == twice[0].result() and ask(1, RIGHT) == first
        assert ask(3, "raise")["rewards"] == 0.5  # the mean of 1 and 0, each once
        assert json.loads(serving.get("/health"))["samples"] == 1
        assert serving.tell(event="rollout", step=0, requests=[1, 2, 3])[0] == 200
        serving.kill()
        serving.service.tend(progress=True)
        serving.until_up()
        assert (
            serving.tell(event="rollout", step=0, requests=[1, 2, 3])[0] == 200
        )  # it is told again
        assert serving.tell(event="step", step=0, numbers={})[0] == 200
        assert ask(4, "raise")["rewards"] == 0.5
    (row,) = lines(other.paths.metrics)
    assert row["correctness/mean"] == pytest.approx(1 / 3) and row["outcome/error"] == 1
    kept = [row["response"].strip() for row in lines(other.paths.rollouts)]
    assert sorted(kept) == sorted([RIGHT, WRONG, "raise"])


def test_a_tripped_breaker_is_waited_for_and_then_the_process_ends(
    theirs: OpenRlhf, stage: Stage, tmp_path: Path
) -> None:
    other = varied(stage, tmp_path)
    with other.serving() as serving:
        samples = [other.sample("raise") for _ in range(80)]
        theirs.start(other, "execute", serving.env, model=other.model, samples=samples).result(120)
        line = refused(theirs, other, serving.env, other.sample(RIGHT))
        assert "no answer from the reward service for 3 s" in line
        assert serving.service.child is not None and serving.service.child.wait(60) == 7
        with pytest.raises(SafetyError, match="failed to be scored"):
            serving.service.tend(progress=True)


TALK = """
import time
from rlsp_cli.rewards import Sample, continuation

@continuation
def talk(sample: Sample) -> str | None:
    last = sample.turns.said[-1].text.split()[-1]
    if last == "raise":
        raise ValueError("told to raise")
    if last == "slow":
        time.sleep(600)
    return {"in": "so so", "hold": "so", "words": "so " * 9, "inf": "so " * 40}.get(last)
"""
TURNS = {
    "whole": [["good in", "end"], ["good hold", "hold"], [RIGHT, "end"]],
    "length": [["good in", "end"], ["good good", "length"]],
    "turns": [["in", "end"]] * 3,
    "overflow": [["good " * 24 + "words", "end"]],
    "flood": [["inf", "end"]],
    "error": [["in", "end"], ["raise", "end"]],
    "timeout": [["slow", "end"]],
}
"""What the model says in its turns by the way in which the response ends, and how each turn ends."""


@pytest.fixture(scope="module")
def talking(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The stage with a continuation."""
    folder = tmp_path_factory.mktemp("talking")
    (folder / "talk.py").write_text(TALK)
    how = "stop: [hold], max_turns: 2, max_tokens: 20, timeout_s: 2"
    use = f"continuation={{use: '{folder}/talk.py:talk', {how}}}"
    return varied(stage, folder, use, "reward.exploration=[]")


def test_responses_in_turns_keep_their_tokens_and_end_in_every_way(
    theirs: OpenRlhf, talking: Stage
) -> None:
    limit = 32  # the recipe's max_new_tokens
    samples = [[*talking.sample("")[:2], turns] for turns in TURNS.values()]
    with talking.serving() as serving:
        found = theirs.do(
            talking,
            "turns",
            serving.env,
            model=talking.model,
            samples=samples,
            max_tokens=limit,
            max_length=96,
        )
        requests = [int(one["info"]["rlsp_request"]) for one in found]
        written = lines(talking.paths.root / "replies.jsonl")
        known = {row["request"]: row["sample"] for row in written if "sample" in row}
        assert serving.tell(event="rollout", step=0, requests=requests)[0] == 200
        assert serving.tell(event="step", step=0, numbers={})[0] == 200

    for outcome, request, one in zip(TURNS, requests, found, strict=True):
        sample, prompt = known[request], one["asked"][0][0]
        assert sample["turns"]["outcome"] == outcome
        assert sample["truncated"] == one["truncated"] == cut_short(outcome)

        # What the model drew is what it is trained on, in order, and nothing else.
        sequence, mask = one["sequence"], one["mask"]
        own = [place + 1 for place, is_own in enumerate(mask) if is_own]
        assert [sequence[place] for place in own] == list(chain.from_iterable(one["drawn"]))
        assert sequence[: len(prompt)] == prompt and own[0] == len(prompt)
        assert own[-1] == len(sequence) - 1 and len(own) == one["length"] == sample["num_tokens"]
        foreign = len(sequence) - len(prompt) - len(own)
        assert foreign == sample["turns"]["foreign_tokens"]
        assert one["logp"] == pytest.approx(
            [-sequence[place + 1] / 100 * is_own for place, is_own in enumerate(mask)]
        )

        # Each turn goes on from the tokens before it, in the room that they leave.
        for before, room, stop, least in one["asked"]:
            assert before == sequence[: len(before)] and (stop, least) == (["hold"], 0)
            assert room == limit - (len(before) - len(prompt))

    scores = [one["info"]["reward"] for one in found]
    unscored = [one["info"]["rlsp_unscored"] for one in found]
    assert scores[0] == 1 and unscored == [0, 0, 0, 0, 0, 1, 1]
    (row,) = lines(talking.paths.metrics)
    assert {row[f"turns/{outcome}"] for outcome in TURNS} == {1}
    rollout = {row["turns"]["outcome"]: row for row in lines(talking.paths.rollouts)}
    said = [turn["text"].strip() for turn in rollout["whole"]["turns"]["said"]]
    assert said[:-1] == ["good in", "so so", "good hold", "so"]
    assert "so" not in rollout["whole"]["response"].split()
    assert "told to raise" in rollout["error"]["correctness"]["reason"]


def cut_short(outcome: str) -> bool:
    """Whether a response that ended so counts as truncated; see docs/turns.md."""
    return outcome in ("length", "turns", "overflow", "flood")


def test_heldout_problems_are_answered_in_turns_and_no_part_of_a_rollout(
    theirs: OpenRlhf, talking: Stage
) -> None:
    prompt, label, _ = talking.sample("", heldout=True)
    samples = [[prompt, label, TURNS[name]] for name in ("whole", "error")]
    what = {"max_tokens": 32, "max_length": len(prompt.split()) + 30}
    with talking.serving() as serving:
        found = theirs.do(
            talking, "turns", serving.env, model=talking.model, samples=samples, **what
        )
        assert json.loads(serving.get("/health"))["samples"] == 0
    assert [one["info"]["score"] for one in found] == [1, 0]
    assert [one["info"]["rlsp_unscored"] for one in found] == [0, 1]
    # As OpenRLHF does, a prompt that is too long is cut on its left.
    assert all(len(one["asked"][0][0]) == what["max_length"] - 32 for one in found)


def test_a_response_goes_on_when_the_service_died_between_its_turns(
    stage: Stage, talking: Stage
) -> None:
    asking = {"prompts": talking.prompt(0), "labels": {"id": "0", "reference": "7"}, "request": 5}
    asking |= {"prompt_tokens": [3, 4], "written": None, "so_far": None}
    with talking.serving() as serving:
        assert serving.tell(event="begin", step=0)[0] == 200
        begun = serving.post("/turn", asking)[1]
        spoken = {"tokens": [5, 6], "truncated": False, "stopped": False}
        asking |= {"so_far": begun["so_far"]}
        serving.kill()
        serving.service.tend(progress=True)
        serving.until_up()
        ended = [serving.post("/turn", {**asking, "written": spoken}) for _ in range(2)]
        assert ended[0] == ended[1] and ended[0][1]["so_far"]["tokens"] == [5, 6]
        assert json.loads(serving.get("/health"))["samples"] == 1

        serving.kill()
        serving.service.tend(progress=True)
        serving.until_up()
        assert serving.post("/turn", {**asking, "written": spoken}) == ended[0]
        assert serving.tell(event="rollout", step=0, requests=[5])[0] == 200
        assert serving.tell(event="step", step=0, numbers={})[0] == 200
        (row,) = lines(talking.paths.metrics)
        assert row["turns/whole"] == 1 and row["turns/error"] == 0

        code, said = serving.post("/turn", {**asking, "written": {"tokens": [5]}})
        assert code == 422 and "no turn of a response" in said["error"]
    with stage.serving() as serving:
        code, said = serving.post("/turn", asking)
        assert code == 422 and "has no continuation" in said["error"]


def test_a_continuation_that_fails_too_often_ends_the_training(
    theirs: OpenRlhf, talking: Stage
) -> None:
    with talking.serving() as serving:
        samples = [[*talking.sample("")[:2], [["raise", "end"]]] for _ in range(80)]
        what = {"model": talking.model, "samples": samples, "max_tokens": 32, "max_length": 96}
        env = {**serving.env, "RLSP_REWARD_PATIENCE_S": "3"}
        theirs.start(talking, "turns", env, **what).result(120)
        assert serving.service.child is not None and serving.service.child.wait(60) == 7
        with pytest.raises(SafetyError, match=r"its continuation: .*told to raise"):
            serving.service.tend(progress=True)


def test_advantages_and_returns_pass_over_what_others_say_as_in_our_engine(
    theirs: OpenRlhf, stage: Stage
) -> None:
    draw = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(2, 4, 12, generator=draw)
    mask = (torch.rand(4, 12, generator=draw) > 0.4).float()
    columns = {"rewards": rewards.tolist(), "values": values.tolist(), "mask": mask.tolist()}
    found = theirs.do(stage, "own_returns", gamma=0.9, lambd=0.8, **columns)
    advantages, returns, cumulated = map(torch.tensor, found)

    ours, back = advantage.gae(rewards, values, mask, 0.9, 0.8)
    close(ours * mask, advantages)
    close(back * mask, returns)
    close(advantage.rewards_to_go(rewards, mask, 0.9) * mask, cumulated)


def test_rewards_that_compare_a_prompts_samples_see_all_of_them_whoever_comes_first(
    theirs: OpenRlhf, stage: Stage, tmp_path: Path
) -> None:
    crowd = f"reward.exploration={{use: {stage.paths.root.parent.parent}/mine.py:crowd}}"
    other = varied(stage, tmp_path, crowd, "ppo.samples_per_prompt=48", "ppo.train_batch=64")
    samples = [other.sample(RIGHT, number, reference="7") for _ in range(48) for number in range(4)]
    with other.serving() as serving:
        found = execute(
            theirs, other, serving, samples
        )  # 192 at once, of each prompt one after the other
        assert found["info"]["rlsp_crowd"] == [48.0] * len(samples)
        assert "rlsp_groups_incomplete 0.0" in serving.get("/metrics")


def test_the_trainer_and_the_journal_agree_on_every_step(
    theirs: OpenRlhf, stage: Stage, tmp_path: Path
) -> None:
    other, rows = varied(stage, tmp_path), []
    metrics, rollouts = other.paths.metrics, other.paths.rollouts
    with other.serving() as serving:
        code, reply = serving.tell(event="begin", step=3)
        assert (
            code == 409
            and reply["error"].count("\n") == 0
            and "from step 3, not from 0" in reply["error"]
        )
        begun = theirs.start(
            other, "train", serving.env, model=other.model, steps=[{}], begin=2
        ).result(120)
        assert begun.code == 3 and "RefusedError: HTTP 409" in begun.log
        for step in range(2):
            texts = [RIGHT, WRONG, "raise", RIGHT]
            samples = [other.sample(text, number) for number in range(4) for text in texts]
            found = execute(theirs, other, serving, samples * (6 if step else 1))
            alpha = 1 - step / (STEPS - 1)
            assert found["info"]["rlsp_alpha"] == pytest.approx([alpha] * len(found["rewards"]))
            exploration, correctness = (
                found["info"]["rlsp_exploration"],
                found["info"]["rlsp_correctness"],
            )
            for row in (0, 1, 3):
                mixed = alpha * correctness[row] + (1 - alpha) * exploration[row]
                assert found["rewards"][row] == pytest.approx(mixed)
            requests = [int(request) for request in found["info"]["rlsp_request"]]
            assert serving.tell(event="rollout", step=step, requests=requests)[0] == 200
            if not step:
                what = {"model": other.model, "steps": [{"policy_loss": 0.25}], "begin": None}
                told = theirs.do(other, "train", serving.env, **what)
                assert told["reached"] == 1 and told["ended"] is None
            else:
                assert serving.tell(event="step", step=1, numbers={"kl": 0.1}) == (
                    200,
                    {"stop": False},
                )
                assert serving.tell(event="step", step=1, numbers={"kl": 0.1}) == (
                    200,
                    {"stop": False},
                )
        rows = lines(metrics)
        assert [row["step"] for row in rows] == [0, 1]
        assert (
            rows[0]["loss/policy"] == 0.25
            and rows[0]["kl/token"] == 0.5
            and "openrlhf/odd" not in rows[0]
        )
        assert (
            rows[0]["correctness/mean"] == 0.5
            and rows[0]["alpha"] == 1
            and rows[0]["outcome/error"] == 4
        )
        assert (
            rows[1]["reward/mean"] != rows[1]["correctness/mean"]
            and rows[1]["exploration/reward/mean"] == -5
        )
        kept = [row for row in lines(rollouts) if row["step"] == 1]
        sizes = [sum(row["id"] == one for row in kept) for one in {row["id"] for row in kept}]
        assert (
            sizes == [24, 24] and len(lines(rollouts)) == 16 + 48
        )  # of four groups of 24, whole ones
        assert {part["component"] for row in kept for part in row["exploration"]} == {
            "effort",
            "reward",
        }
        assert {row["correctness"]["component"] for row in kept} == {"exact_match"}

        serving.kill()
        serving.service.tend(progress=True)
        found = execute(theirs, other, serving, [other.sample(RIGHT)])
        assert found["info"]["rlsp_alpha"] == pytest.approx([1 - 2 / (STEPS - 1)])
        (other.paths.root / "stop").touch()
        assert serving.tell(event="step", step=2, numbers={}) == (200, {"stop": True})
        assert [row["step"] for row in lines(metrics)] == [0, 1, 2]


def test_every_evaluation_and_export_belongs_to_its_step_the_last_one_too(
    theirs: OpenRlhf, stage: Stage, tmp_path: Path
) -> None:
    other = varied(stage, tmp_path, "ppo.export_every=3")
    ids = [json.loads(row["label"])["id"] for row in lines(other.paths.root / "heldout.jsonl")]
    what = {"model": other.model, "texts": dict(zip(ids, [[RIGHT], [WRONG]], strict=True))}
    with other.serving() as serving:
        told = theirs.do(other, "train", serving.env, steps=[{}] * STEPS, **what)
    found = lines(other.paths.metrics)
    assert [row["step"] for row in found if "heldout/correctness" in row] == [
        1,
        3,
    ]  # every 2 of 4 steps
    assert [row["heldout/correctness"] for row in found if "heldout/correctness" in row] == [
        0.5,
        0.5,
    ]
    assert told["ended"] is None and told["told"] == [["execute_batch", None]]  # step 3


def test_a_stop_file_leads_to_a_checkpoint_and_to_words_for_the_driver(
    theirs: OpenRlhf, stage: Stage, tmp_path: Path
) -> None:
    other = varied(stage, tmp_path)
    (other.paths.root / "stop").touch()
    with other.serving() as serving:
        told = theirs.do(other, "train", serving.env, model=other.model, steps=[{}, {}])
    assert told["told"] == [["save_checkpoint", "global_step1"]] and told["reached"] == 1
    assert told["ended"] == "StoppedError: stopped after step 1, with a checkpoint"
    report = json.loads((other.paths.root / "error.json").read_text())
    assert report == {"exit_code": 143, "message": "stopped after step 1, with a checkpoint"}


def test_the_policy_never_learns_from_rollouts_of_the_critics_warm_up(
    theirs: OpenRlhf, stage: Stage
) -> None:
    learnt = theirs.do(stage, "warm_up", steps=4, frozen=2)
    assert learnt == {"policy": [4, 4], "critic": [4, 4, 4, 4]}
    assert theirs.do(stage, "warm_up", steps=3, frozen=0)["policy"] == [4, 4, 4]
    theirs_alone = theirs.do(stage, "warm_up", steps=4, frozen=2, hook=False)
    assert theirs_alone["policy"] == [12, 4]  # why the hook is there


def test_separate_streams_are_those_of_our_engine_and_off_nothing_changes(
    theirs: OpenRlhf, stage: Stage
) -> None:
    torch.manual_seed(0)
    rows, size, kl_coef = 24, SAMPLES, 0.05
    correctness, exploration = torch.randint(0, 2, (rows,)).float(), torch.rand(rows)
    correctness[:size], exploration[size : 2 * size] = (
        1.0,
        0.9,
    )  # groups in which a stream has nothing to teach
    mask = (torch.arange(9) < torch.randint(1, 9, (rows, 1))).float()
    kl = 0.1 * torch.randn(rows, 9) * mask
    estimators, alpha = ("rloo", "group_norm", "reinforce_baseline", "dr_grpo"), 0.8
    reward = alpha * correctness + (1 - alpha) * exploration
    columns = {
        "rewards": reward,
        "correctness": correctness,
        "exploration": exploration,
        "kl": kl,
        "mask": mask,
    }
    shared = {name: column.tolist() for name, column in columns.items()} | {
        "alpha": alpha,
        "kl_coef": kl_coef,
    }
    cases = [{**shared, "estimator": estimator} for estimator in estimators]
    apart = theirs.do(stage, "advantages", {"RLSP_ADVANTAGES": "separate"}, cases=cases, size=size)
    off = theirs.do(stage, "advantages", {}, cases=cases, size=size)
    assert off == theirs.do(stage, "advantages", {}, cases=cases, size=size, hook=False)
    for estimator, found, plain in zip(estimators, apart, off, strict=True):
        streams, ones = torch.stack([correctness, exploration], 1), torch.ones(rows)
        scores = advantage.mixed(streams, [alpha, 1 - alpha], ones, size, estimator)
        settings = Ppo.model_validate({"estimator": estimator, "samples_per_prompt": size})
        ours, _ = advantage.advantages_and_returns(
            scores, kl, torch.zeros_like(kl), mask, kl_coef, settings
        )
        close(scores, torch.tensor(found["mixed"]))
        close(ours, torch.tensor(found["advantages"]) * mask)
        assert found["estimator"] == estimator and plain["mixed"] is None
    assert not torch.allclose(
        torch.tensor(apart[1]["advantages"]), torch.tensor(off[1]["advantages"])
    )


def test_the_kl_of_a_response_is_noted_also_where_it_is_a_loss_and_so_is_its_entropy(
    theirs: OpenRlhf, stage: Stage
) -> None:
    response = {
        "logp": [-1.0, -3.0, 0.0],
        "mask": [1, 1, 0],
        "kl": [0.2, 0.3, 0.0],
        "reference": None,
    }
    as_loss = {**response, "kl": [0.0, 0.0, 0.0], "reference": [-1.5, -3.5, 0.0]}
    told = theirs.do(stage, "measured", responses=[response, as_loss])
    assert [one["kl_response"] for one in told] == pytest.approx([0.5, 1.0])
    assert [one["sampled_entropy"] for one in told] == pytest.approx([2.0, 2.0])


def test_another_openrlhf_than_the_hook_knows_is_refused_by_the_name_that_differs(
    theirs: OpenRlhf, stage: Stage
) -> None:
    found = theirs.do(stage, "misfits", hook=False)
    names = {name: said for name, said in found.items() if isinstance(said, list)}
    assert len(names) > 15 and all(
        found[name] is None for name in found.keys() - names.keys()
    )  # it fits as it is
    for name, (other, missing) in names.items():
        assert (
            missing.startswith("OpenRLHF 0.11.2 is not as rlsp knows it: ")
            and name.rpartition(".")[2] in missing
        )
        if not name.endswith(".Actor"):  # which is only asked whether a model is one
            assert "takes (unheard) instead of (" in other and "install a tested version" in other


def test_models_meet_on_ports_that_the_system_gives_to_nobody_else(
    theirs: OpenRlhf, stage: Stage
) -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(19_999 < port < min(first, 30_000) for port in theirs.do(stage, "ports", count=50))
    assert all(port >= first for port in theirs.do(stage, "ports", count=50, hook=False))


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


def test_a_service_that_dies_while_it_writes_a_step_down_writes_it_once(
    stage: Stage, tmp_path: Path
) -> None:
    """Between the rollouts and the metrics, and between the metrics and forgetting the answers."""
    other = varied(stage, tmp_path)
    recipe = load_recipe(other.paths.root.parent / "resolved.yaml", plugins=resolve_options)
    score = SampleScore(
        Score("exact_match", "value", 1.0), (Score("effort", "value", 0.5),) * 2, 1.0, (1.0, 0.5)
    )

    def journal() -> "closing[Journal]":
        return closing(
            Journal(recipe, ppo_section(recipe), OpenRlhfFiles(other.paths), STEPS, 0, None)
        )

    def tell(told: Journal, step: int) -> None:
        told.event({"event": "rollout", "step": step, "requests": [7]})
        told.event({"event": "step", "step": step, "numbers": {}})

    for step, cut in enumerate((["metrics.jsonl", "replies.jsonl"], ["replies.jsonl"])):
        files = [other.paths.root / name for name in cut]
        with journal() as first:
            first.add(7, [Sample("p", f"r{step}")], [score], {"rewards": 1.0})
            before = [file.read_bytes() if file.exists() else b"" for file in files]
            tell(first, step)
        for file, content in zip(files, before, strict=True):
            file.write_bytes(content)
        with journal() as again:
            tell(again, step)
            assert again.step == step + 1
    assert [row["step"] for row in lines(other.paths.metrics)] == [0, 1]
    assert [row["response"] for row in lines(other.paths.rollouts)] == ["r0", "r1"]
    assert all(row["correctness/mean"] == 1 for row in lines(other.paths.metrics))
