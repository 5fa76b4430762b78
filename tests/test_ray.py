"""Jobs on a real Ray cluster of two nodes on this machine, with GPUs that it only claims to have."""

import base64
import http.server
import ipaddress
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import pytest

from rlsp_cli.backends.environment import find_environment
from rlsp_cli.backends.probe import run_probe
from rlsp_cli.backends.ray_address import head_address, read_ray_address
from rlsp_cli.backends.ray_sbatch import ray_batch_script
from rlsp_cli.child.die_with_parent import end, spawn
from rlsp_cli.child.guard import remove_with_users
from rlsp_cli.errors import NotReadyError
from rlsp_cli.launch.attempt import Attempt
from rlsp_cli.launch.ray.address import free_ports as ports_from
from rlsp_cli.launch.ray.capacity import free_room
from rlsp_cli.launch.ray.cluster import (
    await_nodes,
    claimed,
    head_options,
    node_environment,
    start_words,
)
from rlsp_cli.launch.ray.dashboard import Dashboard
from rlsp_cli.launch.ray.head_token import with_token
from rlsp_cli.launch.slurm import run_batch
from rlsp_cli.recipe.cluster import Cluster
from tests.conftest import rlsp
from tests.observer import Recorder

pytestmark = pytest.mark.integration

SECRET, TOKEN = "wandb-7f3a9c", "the-clusters-token"
PASSWORD = "p@ss/word"
PASSWORDS = [
    form.encode()
    for form in (
        PASSWORD,
        quote(PASSWORD, safe=""),
        base64.b64encode(f"me:{PASSWORD}".encode()).decode(),
    )
]
PLACED = """
import os, ray, hook
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as On
ray.init()
group = placement_group([{"GPU": 1, "CPU": 1}] * 4)
ray.get(group.ready())

@ray.remote(num_gpus=1, num_cpus=1)
def where():
    return ray.get_runtime_context().get_node_id(), os.environ["HOOKED"], os.environ["MARK"]

found = ray.get([where.options(scheduling_strategy=On(group)).remote() for _ in range(4)])
print(len({node for node, _, _ in found}), "nodes", {rest for _, *rest in found for rest in [tuple(rest)]})
print("secret is", os.environ["WANDB_API_KEY"])
"""
HOOK = """
import os

def install():
    os.environ["HOOKED"] = "yes"
"""
HELD = """
import time, ray
ray.init()

@ray.remote(num_gpus=1, num_cpus=1)
class Held:
    def nap_of_an_actor(self):
        time.sleep(600)

actors = [Held.remote() for _ in range(4)]
ray.get([actor.__ray_ready__.remote() for actor in actors])
print("all are there", flush=True)
ray.get([actor.nap_of_an_actor.remote() for actor in actors])
"""
SERVICE = """
import http.server, os, sys
port = int(sys.argv[sys.argv.index("--port") + 1]) if "--port" in sys.argv else 0

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.headers["Authorization"] != "Bearer " + os.environ["RLSP_REWARD_TOKEN"]:
            return self.send_error(401)
        if self.path == "/trip":
            import json
            json.dump({"exit_code": 7, "message": "too many rewards fail"}, open(os.environ["RLSP_ERROR_FILE"], "w"))
            os._exit(7)
        if self.path == "/die":
            os._exit(9)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())

server = http.server.HTTPServer(("127.0.0.1", port), Answer)
print(f"listening on http://127.0.0.1:{server.server_port}", file=sys.stderr, flush=True)
server.serve_forever()
"""
ASKING = """
import os, sys, time, urllib.error, urllib.request

def ask(path):
    request = urllib.request.Request(os.environ["RLSP_REWARD_URL"] + path)
    request.add_header("Authorization", "Bearer " + os.environ["RLSP_REWARD_TOKEN"])
    return urllib.request.urlopen(request).read().decode()

def ask_until(path):
    while True:
        try:
            return ask(path)
        except OSError:
            time.sleep(0.2)
"""


def free_ports(count: int) -> list[int]:
    """Ports that neither the system gives to connections nor Ray to its workers."""
    return ports_from(count, random.randrange(20000, 32000))


@dataclass
class TwoNodes:
    """A cluster of two nodes with two claimed GPUs each, made by the same words as rlsp's own; it wants a token."""

    port: int
    dashboard: Dashboard
    head: "subprocess.Popen[bytes]"
    worker: "subprocess.Popen[bytes]"


@pytest.fixture(scope="module")
def python() -> tuple[str, ...]:
    try:
        return find_environment("openrlhf").command
    except NotReadyError as error:
        pytest.skip(str(error))


JOIN_S = 120.0
"""The longest that a node takes to start on a busy machine."""


@dataclass(frozen=True)
class Starter:
    """Starts nodes in one environment, whose logs lie in one folder."""

    python: tuple[str, ...]
    environment: Mapping[str, str]
    logs: Path

    def head(self, ends: ExitStack) -> tuple[int, Dashboard, "subprocess.Popen[bytes]"]:
        """A head that answers, with its port and its dashboard; `ends` ends it."""
        port, ui = free_ports(2)
        folder = f"/tmp/rt{port}"
        ends.callback(remove_with_users, folder)
        dashboard = Dashboard(f"http://127.0.0.1:{ui}", head_address("", TOKEN).headers)
        options = [*head_options(port, ui), f"--temp-dir={folder}"]
        return port, dashboard, self._node(options, dashboard, 1, ends)

    def worker(self, port: int, dashboard: Dashboard, ends: ExitStack) -> "subprocess.Popen[bytes]":
        """A second node that has joined the head; `ends` ends it."""
        # The head takes a while to notice the end of a node that failed in an earlier try.
        _await_nothing(lambda: [node for node in dashboard.nodes() if node.alive][1:])
        return self._node([f"--address=127.0.0.1:{port}"], dashboard, 2, ends)

    def _node(
        self, options: list[str], dashboard: Dashboard, count: int, ends: ExitStack
    ) -> "subprocess.Popen[bytes]":
        """A node, the last of `count`. One that does not join is ended at once and shows its log."""
        log = self.logs / f"{len(list(self.logs.iterdir()))}.log"
        words = start_words(self.python, *options, *claimed(2))
        node = spawn(words, self.environment, log)
        ends.callback(end, node)
        try:
            await_nodes(dashboard, count, JOIN_S, lambda: node.poll() is None)
        except NotReadyError:
            end(node)
            print(log.read_text()[-3000:])
            raise
        return node


Value = TypeVar("Value")


def tried_thrice(start: Callable[[], Value]) -> Value:
    """What `start` returns: it fails now and then, since a port that was free may be taken by now."""
    for _ in range(2):
        with suppress(NotReadyError):
            return start()
    return start()


@pytest.fixture(scope="module")
def cluster(
    python: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TwoNodes]:
    environment = {**node_environment(python), **with_token(TOKEN)}
    starter = Starter(python, environment, tmp_path_factory.mktemp("cluster"))
    with ExitStack() as ends:
        port, dashboard, head = tried_thrice(lambda: starter.head(ends))
        worker = tried_thrice(lambda: starter.worker(port, dashboard, ends))
        yield TwoNodes(port, dashboard, head, worker)


@dataclass
class Started:
    """A driver that was started, with the folder of its stage and attempt."""

    process: "subprocess.Popen[str]"
    stage: Path

    @property
    def attempt(self) -> Path:
        return self.stage / "attempts" / "1"

    def wait(self) -> int:
        return self.process.wait(180)

    def wait_for(self, happened: Callable[[], bool]) -> None:
        while not happened():
            assert self.process.poll() is None, self.err
            time.sleep(0.1)

    @property
    def out(self) -> str:
        return (self.attempt / "stdout.log").read_text()

    @property
    def err(self) -> str:
        return (self.attempt / "stderr.log").read_text()

    @property
    def error(self) -> str:
        return str(json.loads((self.attempt / "error.json").read_text())["message"])


@pytest.fixture
def prepare(tmp_path: Path, python: tuple[str, ...]) -> Callable[..., tuple[Path, dict[str, str]]]:
    """Writes a job that runs a script; gives its stage's folder and the variables of its driver."""

    def write(script: str, **changes: Any) -> tuple[Path, dict[str, str]]:
        stage = tmp_path / f"run{len(list(tmp_path.glob('run*')))}" / "ppo"
        attempt = stage / "attempts" / "1"
        attempt.mkdir(parents=True)
        (stage / "job.py").write_text(script)
        (stage / "hook.py").write_text(HOOK)
        inputs = {
            "python": python, "entrypoint": [*python, "job.py"], "env": {"MARK": "a b", "RAY_DEDUP_LOGS": "0"},
            "setup_hook": None, "ship": ["job.py", "hook.py"], "placement_groups": [], "nodes": 1, "gpus_per_node": 0,
            "fake_gpus": 2, "address": None, "port": free_ports(1)[0], "join_timeout_s": 180, "quiet_limit_s": 600,
            "service": None, "secrets": ["WANDB_API_KEY"],
        }  # fmt: skip
        data = {"stage": "ppo", "inputs": {"ray": {**inputs, **changes}}}
        (stage / "job.json").write_text(json.dumps({"data": data}))
        known = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        secret = {"WANDB_API_KEY": SECRET, "RAY_AUTH_TOKEN": TOKEN}
        return stage, {**known, **secret, "RLSP_ERROR_FILE": str(attempt / "error.json")}

    return write


@pytest.fixture
def start(prepare: Any) -> Iterator[Callable[..., Started]]:
    """Starts the driver of a job that runs a script, on the head that it is told or starts."""
    started = []

    def begin(
        script: str, environment: dict[str, str | None] | None = None, **changes: Any
    ) -> Started:
        stage, known = prepare(script, **changes)
        attempt = stage / "attempts" / "1"
        with (attempt / "stdout.log").open("w") as out, (attempt / "stderr.log").open("w") as err:
            command = [sys.executable, "-P", "-m", "rlsp_cli.launch.ray", str(stage / "job.json")]
            variables = {
                name: value
                for name, value in {**known, **(environment or {})}.items()
                if value is not None
            }
            process = subprocess.Popen(command, stdout=out, stderr=err, text=True, env=variables)
        started.append(Started(process, stage))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.terminate()
            one.process.wait(60)


def test_a_job_finds_its_files_its_hook_and_its_room_on_two_nodes(
    start: Any, cluster: TwoNodes
) -> None:
    job = start(
        PLACED,
        address=cluster.dashboard.url,
        placement_groups=[["actor", 2], ["critic", 2]],
        setup_hook="hook.install",
    )
    assert job.wait() == 0, job.err
    assert "2 nodes {('yes', 'a b')}" in job.out
    assert "secret is ***" in job.out
    texts = [path.read_bytes() for path in job.stage.rglob("*") if path.is_file()]
    assert len(texts) > 4 and not any(SECRET.encode() in text for text in texts)


@pytest.mark.parametrize(
    ("token", "code", "hint"),
    [(None, 401, "set RAY_AUTH_TOKEN"), ("another", 403, "is not that of this cluster")],
)
def test_a_cluster_with_a_token_says_what_to_set(
    start: Any, cluster: TwoNodes, tmp_path: Path, token: str | None, code: int, hint: str
) -> None:
    url = cluster.dashboard.url
    job = start("", {"RAY_AUTH_TOKEN": token, "HOME": str(tmp_path)}, address=url)
    assert job.wait() == 4
    assert (
        f"{url}/api/version: {code}: " in job.error
        and hint in job.error
        and len(job.error.splitlines()) == 1
    )


def test_a_token_is_found_where_ray_keeps_it(start: Any, cluster: TwoNodes, tmp_path: Path) -> None:
    for path, named in (
        (tmp_path / ".ray" / "auth_token", {}),
        (tmp_path / "t", {"RAY_AUTH_TOKEN_PATH": "~/t"}),
    ):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{TOKEN}\n")
        environment = {"RAY_AUTH_TOKEN": None, "HOME": str(tmp_path), **named}
        job = start("", environment, address=cluster.dashboard.url, placement_groups=[["actor", 5]])
        assert job.wait() == 4 and "5 GPUs with a CPU each" in job.error
        path.unlink()


def test_the_doctor_opens_a_cluster_with_its_token(
    cluster: TwoNodes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment = find_environment("openrlhf")
    monkeypatch.setenv("RAY_ADDRESS", cluster.dashboard.url.replace("//", "//somebody:a-password@"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    found = run_probe(environment).ray
    assert found and found.problem and found.problem.startswith("no answer from Ray: 403")
    assert "a-password" not in repr(found)
    monkeypatch.setenv("RAY_ADDRESS", cluster.dashboard.url)
    shut = run_probe(environment).ray
    assert (
        shut and shut.problem and shut.problem.endswith("set RAY_AUTH_TOKEN to the cluster's token")
    )
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    opened = run_probe(environment).ray
    assert opened and opened.nodes == 2


@pytest.fixture
def gateway(cluster: TwoNodes) -> Iterator[str]:
    """HOST:PORT/PATH of a proxy in front of the cluster, which keeps its user's password to itself."""
    allowed = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()

    class Gateway(http.server.BaseHTTPRequestHandler):
        def forward(self) -> None:
            if not self.path.startswith("/ray/c1/"):
                self.send_error(404)
                return
            given = self.headers["Authorization"]
            del self.headers["Authorization"]
            if given != allowed:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="gateway"')
                self.end_headers()
                return
            body = self.rfile.read(int(self.headers["Content-Length"] or 0)) or None
            url = cluster.dashboard.url + self.path.removeprefix("/ray/c1")
            request = urllib.request.Request(url, body, dict(self.headers), method=self.command)
            try:
                answer: Any = urllib.request.urlopen(request)
            except urllib.error.HTTPError as error:
                answer = error
            self.send_response(answer.status)
            self.end_headers()
            self.wfile.write(answer.read())

        do_GET = do_POST = do_PUT = forward

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}/ray/c1"
        server.shutdown()


def test_a_cluster_behind_a_path_and_a_password_is_used_and_the_password_shown_nowhere(
    start: Any, cluster: TwoNodes, gateway: str
) -> None:
    job = start("import time; print('up', flush=True); time.sleep(600)",
                {"RAY_ADDRESS": f"http://me:{quote(PASSWORD, safe='')}@{gateway}/"})  # fmt: skip
    job.wait_for(lambda: "up" in job.out.split("\n"))
    assert not any(word in _command_line(pid) for pid in _all_processes() for word in PASSWORDS)
    assert not any(
        word in path.read_bytes()
        for path in job.stage.rglob("*")
        if path.is_file()
        for word in PASSWORDS
    )
    job.process.kill()
    _await_stop(cluster, job)
    for password in ("wrong:one", ""):
        job = start("", {"RAY_ADDRESS": f"http://me:{password}@{gateway}"})
        assert job.wait() == 4
        assert job.error == (
            f"http://{gateway}/api/version: 401: Unauthorized; it wants a user and a password: "
            "RAY_ADDRESS=http://USER:PASSWORD@HOST:PORT"
        )


def test_headers_of_the_user_open_a_cluster(start: Any, gateway: str) -> None:
    basic = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    headers = json.dumps({"authorization": f"Basic {basic}"})
    job = start("print('in')", {"RAY_ADDRESS": f"http://{gateway}", "RAY_JOB_HEADERS": headers})
    assert job.wait() == 0 and "in" in job.out.split("\n"), job.err
    job = start(
        "", {"RAY_ADDRESS": f"http://{gateway}", "RAY_JOB_HEADERS": "Authorization: Basic c2VjcmV0"}
    )
    assert (
        job.wait() == 4
        and job.error.startswith("RAY_JOB_HEADERS: expected a JSON object")
        and "c2Vj" not in job.err
    )


NEEDS = {"packages": ["ray", "openrlhf", "transformers"], "versions": {}}


def test_every_node_is_asked_before_the_job_whether_it_can_do_its_part(
    start: Any, cluster: TwoNodes, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    needs = {**NEEDS, "model": str(tmp_path)}
    job = start("print('started')", address=cluster.dashboard.url, needs=needs)
    assert job.wait() == 0 and "started" in job.out, job.err
    assert "note: all 2 nodes have the packages, the run folder and the model" in job.err
    needs = {**needs, "model": "/nowhere", "versions": {"openrlhf": "9.9"}}
    job = start("print('started')", address=cluster.dashboard.url, needs=needs)
    assert job.wait() == 4 and "started" not in job.out
    first, *nodes = job.error.splitlines()
    assert first == "2 of 2 nodes of the cluster lack something that the job needs"
    here = [node.ip for node in cluster.dashboard.nodes() if node.alive]
    assert [node.split(": ")[0].strip() for node in nodes] == here
    for node in nodes:
        assert (
            "openrlhf is 0.11.2 instead of 9.9; the model /nowhere cannot be read (No such file"
            in node
        )


def test_an_interpreter_that_the_cluster_lacks_is_named(start: Any, cluster: TwoNodes) -> None:
    job = start(
        "", address=cluster.dashboard.url, needs={**NEEDS, "model": "m"}, python=["/nowhere/python"]
    )
    assert (
        job.wait() == 4 and "there is no /nowhere/python where Ray runs a job's driver" in job.error
    )


def test_a_node_with_other_packages_that_does_not_see_the_run_is_named(
    prepare: Any,
    cluster: TwoNodes,
    python: tuple[str, ...],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to have mounts of its own")
    (tmp_path / "config.json").write_text("{}")
    needs = {**NEEDS, "model": str(tmp_path)}
    stage, environment = prepare("print('started')", address=cluster.dashboard.url, needs=needs)
    hide = f'mount -t tmpfs none {stage.parent}; exec "$@"'
    words = start_words(
        (_with_older_transformers(python, tmp_path),), f"--address=127.0.0.1:{cluster.port}"
    )
    variables = {**node_environment(python), **with_token(TOKEN)}
    third = spawn(
        ["unshare", "-m", "sh", "-c", hide, "-", *words, *claimed(0)],
        variables,
        tmp_path / "third.log",
    )
    request.addfinalizer(lambda: end(third))
    await_nodes(cluster.dashboard, 3, 120)
    command = [sys.executable, "-P", "-m", "rlsp_cli.launch.ray", str(stage / "job.json")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    end(third)
    _await_nothing(lambda: [node for node in cluster.dashboard.nodes() if node.alive][2:])
    assert done.returncode == 4, done.stderr
    message, node = json.loads((stage / "attempts" / "1" / "error.json").read_text())[
        "message"
    ].splitlines()
    assert message.startswith("1 of 3 nodes") and "transformers is 0.1 instead of " in node
    assert f"the run folder {stage} is not there" in node and "model" not in node


def _with_older_transformers(python: tuple[str, ...], folder: Path) -> str:
    """An interpreter with all packages of another one but this."""
    subprocess.run([*python, "-m", "venv", "--without-pip", folder / "other"], check=True)
    ask = [*python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    theirs = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    (packages,) = (folder / "other").glob("lib/python3*/site-packages")
    (packages / "theirs.pth").write_text(theirs)
    (packages / "transformers-0.1.dist-info").mkdir()
    (packages / "transformers-0.1.dist-info" / "METADATA").write_text(
        "Name: transformers\nVersion: 0.1\n"
    )
    return str(folder / "other" / "bin" / "python")


def test_a_missing_login_is_told_before_anything_starts(start: Any, tmp_path: Path) -> None:
    nobody = {"WANDB_API_KEY": None, "HOME": str(tmp_path), "RAY_ADDRESS": "http://127.0.0.1:9"}
    job = start("", nobody, wandb=True)
    assert (
        job.wait() == 4
        and "wandb has no login for api.wandb.ai here; set WANDB_API_KEY" in job.error
    )
    job = start("", {**nobody, "WANDB_MODE": "offline"}, wandb=True)
    assert job.wait() == 4 and "no Ray cluster there" in job.error


def test_what_wandb_login_has_left_is_handed_to_the_job_and_not_shown(
    start: Any, cluster: TwoNodes, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text(
        "machine api.wandb.ai\n  login user\n  password key-of-netrc\n"
    )
    (tmp_path / ".netrc").chmod(0o600)
    script = "import os; print(os.environ['WANDB_API_KEY'], os.environ['WANDB_ENTITY'], os.environ.get('NCCL_X'))"
    environment = {
        "WANDB_API_KEY": None,
        "HOME": str(tmp_path),
        "WANDB_ENTITY": "team",
        "NCCL_X": "1",
    }
    job = start(
        script, environment, address=cluster.dashboard.url, wandb=True, passed=["WANDB_ENTITY"]
    )
    assert job.wait() == 0 and "*** team None" in job.out, job.err


def test_a_job_that_cannot_be_placed_is_refused_with_a_table(start: Any, cluster: TwoNodes) -> None:
    job = start("", address=cluster.dashboard.url, placement_groups=[["actor", 3], ["vllm", 2]])
    assert job.wait() == 4
    first, *table = job.error.splitlines()
    assert "5 GPUs with a CPU each, and the cluster can place 4 at most" in first
    assert [line.split()[:2] for line in table[1:4]] == [
        ["actor", "3"],
        ["vllm", "2"],
        ["together", "5"],
    ]
    assert len(table[5:]) == 2 and all(
        re.search(r" (\S+ of )?2 +(\S+ of )?4$", line) for line in table[5:]
    )


def test_a_job_waits_for_a_busy_cluster_and_sigterm_stops_it_there(
    start: Any, cluster: TwoNodes
) -> None:
    first = start(HELD, {"RAY_ADDRESS": cluster.dashboard.url})
    first.wait_for(lambda: "all are there" in first.out)
    first.wait_for(
        lambda: not sum(map(free_room, cluster.dashboard.nodes()))
    )  # Ray tells it some seconds later
    second = start(
        "", address=cluster.dashboard.url, placement_groups=[["actor", 1]], join_timeout_s=8
    )
    assert second.wait() == 4 and "0 of 4 GPUs with a CPU each are free" in second.error
    assert "note: the cluster is busy" in second.err
    third = start(
        "print('my turn')", address=cluster.dashboard.url, placement_groups=[["actor", 4]]
    )
    third.wait_for(lambda: "note: the cluster is busy" in third.err)
    first.process.send_signal(signal.SIGTERM)
    assert first.wait() == 143
    submission = first.err.partition("submitted to Ray as ")[2].split()[0]
    assert cluster.dashboard.job(submission).status == "STOPPED"
    assert third.wait() == 0 and "my turn" in third.out


def test_a_job_ends_on_a_cluster_of_others_when_its_driver_is_killed(
    start: Any, cluster: TwoNodes
) -> None:
    job = start(
        "import time; print('up', flush=True); time.sleep(600)", address=cluster.dashboard.url
    )
    job.wait_for(lambda: "up" in job.out.split("\n"))
    job.process.kill()
    _await_stop(cluster, job)


def _await_stop(cluster: TwoNodes, job: Started) -> None:
    submission = job.err.partition("submitted to Ray as ")[2].split()[0]
    deadline = time.monotonic() + 60
    while cluster.dashboard.job(submission).status != "STOPPED":
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_failed_job_tells_its_last_error_and_likely_cause(start: Any, cluster: TwoNodes) -> None:
    job = start("raise RuntimeError('CUDA out of memory: ' + __import__('os').environ['WANDB_API_KEY'])",
                address=cluster.dashboard.url)  # fmt: skip
    assert job.wait() == 5
    assert job.error == (
        "the Ray job failed: out of GPU memory; lower micro_batch: RuntimeError: CUDA out of memory: ***"
    )


def test_what_the_job_reports_itself_stands(start: Any, cluster: TwoNodes) -> None:
    report = (
        "import json, os;"
        "json.dump({'exit_code': 130, 'message': 'saved'}, open(os.environ['RLSP_ERROR_FILE'], 'w'))"
    )
    job = start(report, address=cluster.dashboard.url)
    assert job.wait() == 130 and job.error == "saved"


def test_a_reward_service_that_dies_is_started_again_where_it_was(
    start: Any, cluster: TwoNodes, tmp_path: Path
) -> None:
    (tmp_path / "service.py").write_text(SERVICE)
    script = ASKING + (
        "first = ask('/')\nos.kill(int(first), 9)\nprint('killed', flush=True)\n"
        "second = ask_until('/')\nassert first != second\nprint('here again')"
    )
    job = start(
        script,
        address=cluster.dashboard.url,
        service=[sys.executable, str(tmp_path / "service.py")],
    )
    assert job.wait() == 0, job.err
    assert (
        "here again" in job.out
        and "note: the reward service ended with code -9; starting it again" in job.err
    )
    first, again = re.findall("listening on .*", (job.attempt / "service.log").read_text())
    assert first == again


def test_a_tripped_breaker_ends_the_job_with_its_words(
    start: Any, cluster: TwoNodes, tmp_path: Path
) -> None:
    (tmp_path / "service.py").write_text(SERVICE)
    script = ASKING + "try:\n    ask('/trip')\nexcept OSError:\n    time.sleep(600)"
    job = start(
        script,
        address=cluster.dashboard.url,
        service=[sys.executable, str(tmp_path / "service.py")],
    )
    assert job.wait() == 7 and job.error == "too many rewards fail"
    submission = job.err.partition("submitted to Ray as ")[2].split()[0]
    assert cluster.dashboard.job(submission).status == "STOPPED"


def test_a_reward_service_that_never_starts_is_told(start: Any, cluster: TwoNodes) -> None:
    job = start(
        "",
        address=cluster.dashboard.url,
        service=[sys.executable, "-c", "raise ValueError('no such plugin')"],
    )
    assert job.wait() == 4
    assert "the reward service ended with code 1: ValueError: no such plugin" in job.error


def test_a_job_that_hangs_is_stopped_with_diagnostics(start: Any, cluster: TwoNodes) -> None:
    job = start(HELD, address=cluster.dashboard.url, quiet_limit_s=30)
    assert job.wait() == 5
    folder = job.attempt / "diagnostics"
    assert (
        f"no progress for 30 s, so the job was stopped; stacks and Ray's state are in {folder}"
        in job.error
    )
    assert "nap_of_an_actor" in (folder / "stacks.txt").read_text()
    actors = json.loads((folder / "actors.json").read_text())
    assert sum(actor["class_name"] == "Held" and actor["state"] == "ALIVE" for actor in actors) == 4
    assert {"nodes.json", "tasks.json", "placement_groups.json"} <= {
        path.name for path in folder.iterdir()
    }
    assert "all are there" in (folder / "last_lines.txt").read_text()


def test_a_lost_node_is_named(start: Any, cluster: TwoNodes) -> None:
    job = start(HELD, address=cluster.dashboard.url)
    job.wait_for(lambda: "all are there" in job.out)
    cluster.worker.kill()
    assert job.wait() == 5
    node = next(node for node in cluster.dashboard.nodes() if not node.alive)
    assert f"the Ray job failed: lost node {node.ip} (" in job.error


def test_a_lost_head_ends_the_driver(start: Any, cluster: TwoNodes) -> None:
    job = start(
        "import time; print('up', flush=True); time.sleep(600)", address=cluster.dashboard.url
    )
    job.wait_for(lambda: "up" in job.out.split("\n"))
    cluster.head.kill()
    assert job.wait() == 5
    assert "the Ray head has been silent for 30 s" in job.error


def test_a_head_of_our_own_meets_a_worker_and_dies_with_its_driver(
    start: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (port,) = free_ports(1)
    job = start(HELD, nodes=2, fake_gpus=2, placement_groups=[["actor", 4]], port=port)
    job.wait_for(lambda: "rlsp launch worker --join " in job.err)
    command = [
        sys.executable,
        "-m",
        *shlex.split(job.err.rpartition("there: ")[2].replace("rlsp", "rlsp_cli", 1)),
    ]
    (shared,) = (path for path in job.stage.rglob("*token*"))
    token = shared.read_text()
    assert len(token) > 40 and shared.stat().st_mode & 0o777 == 0o600
    # A node looks for its head for a minute by default.
    variables = {**os.environ, "RAY_gcs_rpc_server_reconnect_timeout_s": "5"}
    with (tmp_path / "worker.log").open("w") as log:
        worker = subprocess.Popen([*command, "--gpus", "2"], stderr=log, env=variables)
    request.addfinalizer(worker.kill)
    job.wait_for(lambda: "all are there" in job.out)
    assert not any(token.encode() in _command_line(pid) for pid in _all_processes())
    assert not any(
        token in path.read_text()
        for path in job.stage.rglob("*")
        if path.is_file() and path != shared
    )
    (head,) = [
        pid for pid in _processes(port) if os.getsid(pid) == pid and _is_child(pid, job.process.pid)
    ]
    assert len([pid for pid in _processes(port) if os.getsid(pid) == head]) > 3
    job.process.kill()
    job.process.wait()
    _await_nothing(lambda: [pid for pid in _all_processes() if _session(pid) == head])
    _await_nothing(lambda: [pid for pid in _all_processes() if _runs_the_job(pid, job.attempt)])
    assert worker.wait(180) == 0 and "has ended" in (tmp_path / "worker.log").read_text()
    assert not _processes(port)
    _await_nothing(lambda: list(Path("/tmp").glob(f"rlsp-*/ray/session_*_{head}")))


def test_a_worker_that_cannot_read_the_heads_token_says_where_it_should_be(tmp_path: Path) -> None:
    done = rlsp("launch", "worker", "--join", "127.0.0.1:1", tmp_path, check=False)
    assert done.returncode == 4
    assert f"{tmp_path}/ppo/ray_token: No such file or directory; the head writes it" in done.stderr


def _await_nothing(left: Callable[[], list[Any]]) -> None:
    deadline = time.monotonic() + 60
    while found := left():
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def _all_processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _session(pid: int) -> int | None:
    """The session of a live process; None for one that has ended."""
    try:
        state, _, _, session = (
            (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[:4]
        )
    except OSError:
        return None
    return None if state == "Z" else int(session)


def _runs_the_job(pid: int, attempt: Path) -> bool:
    """Whether a live process is the entrypoint of the job with this attempt."""
    process = Path("/proc") / str(pid)
    try:
        return (
            b"job.py" in (process / "cmdline").read_bytes()
            and bytes(attempt) in (process / "environ").read_bytes()
        )
    except OSError:
        return False


def _command_line(pid: int) -> bytes:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_bytes()
    except OSError:
        return b""


def _is_child(pid: int, parent: int) -> bool:
    return (
        int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1]) == parent
    )


def _processes(port: int) -> list[int]:
    """Live processes of Ray that belong to the cluster with this port."""
    found = []
    for pid in _all_processes():
        try:
            words = (Path("/proc") / str(pid) / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if re.search(
            rf"(port\S*=|:){port}\b", b" ".join(words).decode(errors="replace")
        ) and b"rlsp_cli" not in b"".join(words):
            found.append(pid)
    return found


LISTENING = """
import os, subprocess, time, urllib.error, urllib.request, ray
ray.init()
print("token", os.environ["RAY_AUTH_TOKEN"])

@ray.remote
def dashboard():
    return ray._private.worker.global_worker.node.webui_url

ray.get(dashboard.remote())
print("up", flush=True)
while not os.path.exists("go"):
    time.sleep(0.1)
"""


def test_a_head_of_one_machine_listens_to_this_machine_and_to_its_own_job_alone(start: Any) -> None:
    """Though the user has set another token for all clusters of the site."""
    job = start(LISTENING, {"RAY_AUTH_MODE": "token"}, placement_groups=[["actor", 2]])
    job.wait_for(lambda: "up" in job.out.split("\n"))
    (head,) = [
        pid
        for pid in _all_processes()
        if _is_child_of(pid, job.process.pid) and b"--head" in _command_line(pid)
    ]
    processes = [
        pid for pid in _all_processes() if _session(pid) == head or _runs_the_job(pid, job.attempt)
    ]
    heard = [address for pid in processes for address in _listening(pid)]
    assert len(heard) > 8 and all(address.is_loopback for address in heard)
    port = re.search(r"--dashboard-port=(\d+)", _command_line(head).decode())
    assert port is not None
    body = json.dumps({"entrypoint": "touch /tmp/taken"}).encode()
    for headers in ({}, {"Authorization": f"Bearer {TOKEN}"}):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port[1]}/api/jobs/", body, headers, method="POST"
        )
        with pytest.raises(urllib.error.HTTPError, match=r"401|403"):
            urllib.request.urlopen(request)
    environment = (Path("/proc") / str(head) / "environ").read_bytes().decode().split("\0")
    token = next(word for word in environment if word.startswith("RAY_AUTH_TOKEN=")).partition("=")[
        2
    ]
    assert token != TOKEN and "token ***" in job.out
    assert not any(token.encode() in _command_line(pid) for pid in _all_processes())
    assert not any(token in path.read_text() for path in job.stage.rglob("*") if path.is_file())


def _is_child_of(pid: int, parent: int) -> bool:
    try:
        return _is_child(pid, parent)
    except OSError:
        return False


def _listening(pid: int) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Addresses on which a process waits for connections."""
    try:
        links = {str(path.readlink()) for path in (Path("/proc") / str(pid) / "fd").iterdir()}
    except OSError:
        return
    for family in ("tcp", "tcp6"):
        for row in (Path("/proc") / str(pid) / "net" / family).read_text().splitlines()[1:]:
            _, local, _, state, *rest = row.split()
            if state == "0A" and f"socket:[{rest[5]}]" in links:
                words = bytes.fromhex(local.partition(":")[0])
                packed = b"".join(words[n : n + 4][::-1] for n in range(0, len(words), 4))
                address = ipaddress.ip_address(packed)
                yield getattr(address, "ipv4_mapped", None) or address


@pytest.mark.parametrize(
    ("address", "shown", "instead"),
    [
        ("ray://10.0.0.1:10001", "ray://10.0.0.1:10001", "http://10.0.0.1:8265"),
        ("10.0.0.1:6379", "10.0.0.1:6379", "http://10.0.0.1:8265"),
        ("auto", "auto", "http://HOST:8265"),
        ("ray://me:secret@head:10001", "ray://***@head:10001", "http://head:8265"),
        ("http://me:sec/ret@head:8265", "http://***@head:8265", "http://head:8265"),
        ("https://gw/ray?key=secret", "https://gw/ray?***", "http://HOST:8265"),
        ("http://head:none", "http://head:none", "http://HOST:8265"),
    ],
)
def test_an_address_that_is_no_dashboard_is_refused(
    start: Any, address: str, shown: str, instead: str
) -> None:
    job = start("", {"RAY_ADDRESS": address})
    assert job.wait() == 2
    assert job.error == (
        f"RAY_ADDRESS: {shown!r} is no dashboard; expected the address of its jobs API, as {instead}"
    )
    assert "sec" not in job.err


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("http://head:8265/", "http://head:8265"),
        ("https://gw/ray/c1/", "https://gw/ray/c1"),
        ("http://me:pw@[fd00::1]:8265", "http://[fd00::1]:8265"),
        ("https://me:p%3Aw@gw/ray", "https://gw/ray"),
    ],
)
def test_the_address_that_is_shown_holds_no_password(
    address: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    found = read_ray_address(address, "RAY_ADDRESS")
    assert found.url == url and "pw" not in repr(found) and TOKEN not in repr(found)
    header = "X-Ray-Authorization" if "@" in address else "Authorization"
    assert found.headers[header] == f"Bearer {TOKEN}"


def test_nobody_at_the_address_and_a_taken_port_are_told(start: Any) -> None:
    import socket

    (port,) = free_ports(1)
    job = start("", address=f"http://127.0.0.1:{port}")
    assert job.wait() == 4 and "cluster.ray_address: no Ray cluster there: " in job.error
    with socket.create_server(("", port)):
        job = start("", port=port)
        assert (
            job.wait() == 4
            and f"port {port} is taken here" in job.error
            and "cluster.port" in job.error
        )


def test_the_batch_script_says_what_the_recipe_asks_for() -> None:
    cluster = Cluster.model_validate(
        {"nodes": 3, "gpus_per_node": 8, "port": 7000, "launcher": "slurm",
         "slurm": {"partition": "gpu", "time": "10:00:00", "options": ["--mem=0"], "setup": "module load cuda"}}
    )  # fmt: skip
    script = ray_batch_script(
        cluster,
        "math-ppo",
        ["/opt/my py"],
        "/rlsp/python",
        Path("/r/job.json"),
        Path("/r/stop"),
        {},
    )
    lines = script.splitlines()
    for line in (
        "--nodes=3",
        "--gpus-per-node=8",
        "--partition=gpu",
        "--mem=0",
        "--signal=B:TERM@300",
    ):
        assert f"#SBATCH {line}" in lines
    assert "module load cuda" in lines and "sleep" not in script
    assert (
        "node '/opt/my py' -m ray.scripts.scripts start --block" in script
        and "--num-gpus=8" in script
    )
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.usefixtures("slurm")
@pytest.mark.parametrize("fails", [False, pytest.param(True, marks=pytest.mark.nightly)])
def test_on_slurm_the_head_the_workers_and_the_driver_run_in_one_allocation(
    tmp_path: Path, python: tuple[str, ...], prepare: Any, fails: bool
) -> None:
    script = (
        "raise ValueError('no luck')"
        if fails
        else "import ray; ray.init(); print(len(ray.nodes()), 'node')"
    )
    stage, environment = prepare(script)
    port = free_ports(1)[0]
    cluster = Cluster.model_validate({"gpus_per_node": 0, "port": port, "launcher": "slurm"})
    script = ray_batch_script(
        cluster, "ppo", python, sys.executable, stage / "job.json", stage / "stop", {}
    )
    (stage / "job.sbatch").write_text(script)
    attempt = Attempt(stage / "attempts" / "1", environment, Recorder())
    code, _ = run_batch(stage / "job.sbatch", attempt, None)
    err = (stage / "attempts" / "1" / "stderr.log").read_text()
    assert code == (5 if fails else 0), err
    assert (
        ("ValueError: no luck" in err)
        if fails
        else "1 node" in (stage / "attempts" / "1" / "stdout.log").read_text()
    )
    assert not _processes(port)
