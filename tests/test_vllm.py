"""`vllm serve` as rlsp runs it: a real server on the CPU, its answers, its end, and what is said when it fails."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.backends import compile_stage
from rlsp_cli.backends.environment import LOCAL, Environment
from rlsp_cli.backends.local.sampling import local_sampler, served_sampler
from rlsp_cli.backends.vllm.parallel import Parallelism, parallel, weights_of
from rlsp_cli.backends.vllm.server import Server, serve_command, serving
from rlsp_cli.engine.checkpoint import save_model
from rlsp_cli.engine.model import new_model
from rlsp_cli.errors import JobError, StoppedError
from rlsp_cli.evals.samplers import Decoding, EndpointSampler, Request, answers
from rlsp_cli.evals.search import Policy, Search, TreeLog
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.model import FromScratch
from rlsp_cli.recipe.search import SearchUse
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.paths import RunPaths
from tests.conftest import ROOT, rlsp

pytestmark = pytest.mark.integration

GB = 1e9
TO_BE_KILLED = """
import sys
from pathlib import Path
from rlsp_cli.backends import compile_stage
from rlsp_cli.backends.environment import LOCAL, Environment
from rlsp_cli.backends.vllm.server import serving

python, model, folder = sys.argv[1:]
environment = Environment("openrlhf", (python,), "")
with serving(model, environment, 0, "auto", Path(folder), Path(folder) / "vllm.log", lambda: None):
    raise AssertionError("killed before it is ready")
"""


def save_new_model(folder: Path, hidden: int) -> Path:
    """A model of four heads; vLLM's attention for CPUs takes heads of 32."""
    spec = FromScratch(
        hidden_size=hidden, num_layers=1, num_heads=4, intermediate_size=64, max_length=64
    )
    save_model(folder, *new_model(spec, ["1 + 2 = 3"], 0))
    return folder


def session_of(log: Path) -> set[int]:
    """Processes that have this log open: vLLM's own and all that it has started."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/1"):
        try:
            if link.readlink() == log:
                found.add(int(link.parts[2]))
        except OSError:
            continue  # it has ended meanwhile
    return found


def engine_of(log: Path) -> int | None:
    """The process among them that computes, by the name that vLLM gives it; None before it runs."""
    for pid in session_of(log):
        if b"EngineCore" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return None


def gone(log: Path) -> bool:
    """Whether the last of them ends; an end takes as long as the machine needs."""
    deadline = time.monotonic() + 60
    while session_of(log) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not session_of(log)


def ask(server: Server, path: str, body: dict[str, Any]) -> Any:
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(server.url + path, json.dumps(body).encode(), headers)
    ) as reply:
        return json.load(reply)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_new_model(tmp_path_factory.mktemp("model") / "tiny", 128)


@pytest.fixture(scope="module")
def served(
    model: Path, openrlhf_environment: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Path]]:
    """A server and its log; nothing of it is left afterwards."""
    log = tmp_path_factory.mktemp("served") / "vllm.log"
    with serving(
        str(model), openrlhf_environment, 0, "auto", log.parent, log, lambda: None
    ) as server:
        assert len(session_of(log)) > 1, "vLLM has processes of its own"
        yield server, log
    assert gone(log)


def test_a_server_answers_token_prompts_for_those_who_have_its_key(
    served: tuple[Server, Path], model: Path
) -> None:
    server, log = served
    server.refuse_dead()
    assert (server.model, server.length) == (str(model), 64) and server.url.startswith(
        "http://127.0.0.1:"
    )
    body = {
        "model": server.model,
        "prompt": [3, 4],
        "temperature": 0,
        "max_tokens": 4,
        "return_token_ids": True,
    }
    first, again = (ask(server, "/completions", body)["choices"][0] for _ in range(2))
    assert first["prompt_token_ids"] == [3, 4] and 1 <= len(first["token_ids"]) <= 4
    assert first["token_ids"] == again["token_ids"]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{server.url}/models")
    assert server.key not in repr(server) and server.key not in log.read_text()
    assert not any(
        server.key in Path(f"/proc/{pid}/cmdline").read_text() for pid in session_of(log)
    )


def test_greedy_responses_are_those_of_the_embedded_engine(
    served: tuple[Server, Path], model: Path
) -> None:
    requests = [
        Request(str(n), text)
        for n, text in enumerate(["1", "2 + 1", "= 3", "1 + 2 = 3 +", "3 3 3 3"])
    ]
    requests.append(replace(requests[0], prefix="+ 2"))
    decoding = Decoding(temperature=0, top_p=1, max_new_tokens=40, seed=0, logprobs=True)
    theirs, _ = served_sampler(served[0], "auto", 4, lambda: None)
    ours, _ = local_sampler(str(model), gpus=0)
    for served_one, local_one in zip(
        answers(theirs, requests, decoding), answers(ours, requests, decoding), strict=True
    ):
        assert (
            served_one.text.split() == local_one.text.split()
        )  # vLLM writes each word after a blank
        assert (served_one.num_tokens, served_one.truncated) == (
            local_one.num_tokens,
            local_one.truncated,
        )
        assert served_one.scores["logprob"] == pytest.approx(local_one.scores["logprob"], rel=1e-3)


def test_a_search_goes_on_from_the_tokens_that_the_server_wrote(
    served: tuple[Server, Path], tmp_path: Path
) -> None:
    server, _ = served
    sampler, _ = served_sampler(server, "auto", 4, lambda: None)
    assert isinstance(sampler, EndpointSampler) and sampler.encode
    encode, asked = sampler.encode, []

    def kept(request: Request) -> list[int]:
        asked.append((request, encode(request)))
        return asked[-1][1]

    sampler.encode = kept
    requests = [Request(str(n), text) for n, text in enumerate(["1", "2 + 1", "= 3"])]
    greedy = Decoding(temperature=0, top_p=1, max_new_tokens=30, seed=0)
    whole = answers(sampler, requests, greedy)
    prompts = {request.id: ids for request, ids in asked}
    asked.clear()

    # Steps of seven tokens, which no text ends; the second child of a step is the same, being greedy.
    settings = SearchUse.model_validate({"steps": {"by": "blank_line"}, "step_tokens": 7})
    policy, log = Policy("beam", {"beams": 1, "children": 2}), TreeLog(tmp_path / "trees.jsonl")
    grown = list(Search(sampler, policy, None, settings, log).grow(requests, greedy))

    for one in grown:
        said = whole[int(one.request.id)]
        assert one.answer.response.split() == said.text.split()
        assert sum(node.num_tokens for node in one.answer.path) == said.num_tokens
        assert one.tree.tokens == sum(node.num_tokens for node in one.tree.nodes)
    # What was sent is what had been written, and was not decoded in between.
    for request, ids in asked:
        (tree,) = [one.tree for one in grown if one.request.id == request.id]
        written = [node for node in tree.nodes if node.response == request.prefix]
        paths = [[token for part in node.path for token in part.token_ids] for node in written]
        assert ids in [[*prompts[request.id], *path] for path in paths]
        assert bool(request.prefix_ids) == bool(request.prefix)
    assert max(one.answer.depth for one in grown) == 5

    headers = {"Authorization": f"Bearer {server.key}"}
    asking = urllib.request.Request(f"{server.root}/metrics", headers=headers)
    with urllib.request.urlopen(asking) as reply:
        assert 'enable_prefix_caching="True"' in reply.read().decode()


def test_nothing_is_left_of_a_server_whose_owner_is_killed(
    model: Path, openrlhf_environment: Environment, tmp_path: Path
) -> None:
    log, owner = tmp_path / "vllm.log", [sys.executable, "-c", TO_BE_KILLED]
    killed = subprocess.Popen([*owner, openrlhf_environment.command[0], str(model), str(tmp_path)])
    while engine_of(log) is None:  # it would outlive the server by itself
        assert killed.poll() is None
        time.sleep(0.1)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert gone(log)


def test_a_stop_while_it_loads_leaves_nothing(
    model: Path, openrlhf_environment: Environment, tmp_path: Path
) -> None:
    log = tmp_path / "vllm.log"

    def stop() -> None:
        if session_of(log):
            raise StoppedError("stopped")

    with (
        pytest.raises(StoppedError),
        serving(str(model), openrlhf_environment, 0, "auto", tmp_path, log, stop),
    ):
        pass
    assert gone(log)


def test_a_model_that_it_cannot_serve_is_named_at_once(
    openrlhf_environment: Environment, tmp_path: Path
) -> None:
    model, log = tmp_path / "model", tmp_path / "vllm.log"
    model.mkdir()
    (model / "config.json").write_text(
        json.dumps({"model_type": "llama", "architectures": ["OtherForCausalLM"]})
    )
    with (
        pytest.raises(JobError, match=r"vLLM ended with code 1: .*OtherForCausalLM"),
        serving(str(model), openrlhf_environment, 0, "auto", tmp_path, log, lambda: None),
    ):
        pass
    assert gone(log)


def test_serving_without_the_environment_says_what_to_type(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "r.jsonl").write_text('{"id": "0", "problem": "1 + 2", "answer": "3"}\n')
    arguments = ("eval", model, "--bench", "aime24", "--data", "r.jsonl", "eval.serve=true")
    done = rlsp(*arguments, "--out", "run", cwd=tmp_path, check=False)
    assert done.returncode == 4 and "eval.serve needs vLLM" in done.stderr, done.stderr
    assert "`rlsp backends install openrlhf`" in done.stderr
    done = rlsp(
        "eval",
        "--bench",
        "aime24",
        "--data",
        "r.jsonl",
        "--gold",
        "eval.serve=true",
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 3 and "nothing to serve: responses given" in done.stderr


def test_an_evaluation_that_serves_takes_all_gpus_of_a_machine(tmp_path: Path) -> None:
    changes = [
        "eval={serve: true, samples: 1}",
        "cluster={nodes: 2, gpus_per_node: 8, launcher: slurm}",
    ]
    recipe = load_recipe(ROOT / "recipes" / "quickstart.yaml", changes, plugins=resolve_options)
    job = compile_stage(recipe, "eval", RunPaths(tmp_path), LOCAL)
    assert (job.resources.nodes, job.resources.gpus_per_node) == (1, 8)


def test_the_command_is_for_this_machine_alone_and_holds_no_key() -> None:
    words = serve_command(
        ("/env/python",), "org/name@abc", 8123, "bfloat16", Parallelism(2, 4), on_cpu=False
    )
    assert words[:5] == ["/env/python", "-m", "vllm.entrypoints.cli.main", "serve", "org/name"]
    assert {
        "--host=127.0.0.1",
        "--revision=abc",
        "--served-model-name=org/name@abc",
        "--generation-config=vllm",
    } <= {*words}
    assert {"--tensor-parallel-size=2", "--data-parallel-size=4"} <= {
        *words
    } and "--enforce-eager" not in words
    assert not any("key" in word for word in words)


@pytest.mark.parametrize(
    ("weights", "gpus", "heads", "expected"),
    [
        (15 * GB, 8, (28, 4), (1, 8)),  # 7B in bfloat16: a copy on each GPU
        (28 * GB, 8, (40, 8), (1, 8)),
        (65 * GB, 8, (40, 8), (2, 4)),  # 32B
        (141 * GB, 8, (64, 8), (4, 2)),  # 70B
        (141 * GB, 2, (64, 8), (2, 1)),  # too large, and vLLM will say so
        (65 * GB, 8, (14, 2), (2, 4)),
        (141 * GB, 8, (14, 2), (2, 4)),  # 14 heads cannot be shared by 4
        (141 * GB, 8, None, (4, 2)),
        (65 * GB, 3, None, (2, 1)),
        (0, 4, None, (1, 4)),
        (1 * GB, 0, (4, 4), (1, 1)),
    ],
)
def test_a_copy_spans_the_fewest_gpus_that_hold_it(
    weights: float, gpus: int, heads: tuple[int, int] | None, expected: tuple[int, int]
) -> None:
    assert parallel(weights, 80 * GB, gpus, heads) == expected


def test_weights_are_counted_as_they_are_served(model: Path) -> None:
    file = (model / "model.safetensors").stat().st_size  # float32
    assert (
        weights_of(str(model), 4) == pytest.approx(file, rel=0.02)
        and weights_of("nobody/nothing", 2) == 0
    )
