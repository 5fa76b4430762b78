"""A submitted job, followed to its end: its log, its service, its nodes, its activity."""

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rlsp_cli.child.cause import last_error, likely_cause
from rlsp_cli.errors import JobError
from rlsp_cli.launch.ray.activity import Activity
from rlsp_cli.launch.ray.cluster import RayCluster
from rlsp_cli.launch.ray.dashboard import JobInfo, Node, UnreachableError
from rlsp_cli.launch.ray.diagnostics import gather_diagnostics
from rlsp_cli.launch.ray.service import RewardService

_POLL_S, _SLOWEST_POLL_S = 1.0, 10.0
_REST = 10.0
"""How many times as long as a look took passes before the next one."""
_SILENCE_S = 30.0
"""How long a dashboard may be away, as a busy one is now and then."""
_NODE_DEATH_S = 25.0
"""How long Ray takes to declare a node dead."""
_STOP_S = 30.0
_NODE_LOSS = re.compile(
    r"ActorDiedError|ActorUnavailableError|NodeDiedError|WorkerCrashedError|Raylet is terminated"
)


class Submission:
    """One job on a cluster, under a name of its own; it prints to our stdout, without secrets."""

    def __init__(
        self,
        cluster: RayCluster,
        name: str,
        folder: Path,
        logs: Path,
        conceal: Callable[[str], str],
        say: Callable[[str], None],
    ) -> None:
        self.cluster, self.dashboard, self.name = cluster, cluster.dashboard, name
        self.logs, self.conceal, self.say = logs, conceal, say
        self.activity = Activity(folder)
        self.log = ""
        self.answered = time.monotonic()

        self.nodes = {node.id: node for node in self.dashboard.nodes() if node.alive}
        self.lost: dict[str, Node] = {}

    def to_the_end(self, service: RewardService | None, quiet_limit_s: float) -> None:
        """Return when the job has succeeded.

        JobError when it failed, was stopped, hangs or lost its head; an error of the service passes
        through.
        """
        while True:
            began = time.monotonic()
            info, new = self._look()
            moved = self.activity.has_grown(new)

            if info and info.is_over:
                return self._judge(info)
            if service:
                service.tend(moved)

            # Only while the dashboard answers: its silence has a limit of its own, and nothing
            # could be learned about the job meanwhile.
            if info and self.activity.quiet_s > quiet_limit_s:
                raise self._hang(info, quiet_limit_s)

            # Ray gives a job's whole log each time, so that a look at a long one takes long.
            rest_s = min(_REST * (time.monotonic() - began), _SLOWEST_POLL_S)
            time.sleep(max(_POLL_S, rest_s))

    def stop(self) -> None:
        """Stop the job, if the cluster answers and the job has not ended, and wait until it has."""
        deadline = time.monotonic() + _STOP_S
        try:
            if self.dashboard.job(self.name).is_over:
                return

            self.dashboard.stop(self.name)
            while not self.dashboard.job(self.name).is_over and time.monotonic() < deadline:
                time.sleep(_POLL_S)
        # This runs on the way out, often because of another error, which must stay the reason.
        except JobError as error:
            self.say(f"the Ray job {self.name} could not be stopped: {error}")

    def _look(self) -> tuple[JobInfo | None, str]:
        """How the job stands, and what it has printed since; None while the dashboard is silent.

        JobError when the head is gone.
        """
        head = self.cluster.head
        if head is not None and head.poll() is not None:
            raise JobError(f"the Ray head ended with code {head.returncode}, and the job with it")

        try:
            # The state before the log: else the last lines of a job that ends between the two
            # would be missing, and its error with them.
            info = self.dashboard.job(self.name)
            new = self._new_log()
            self._watch_nodes()
        except UnreachableError as error:
            if time.monotonic() - self.answered > _SILENCE_S:
                raise JobError(
                    f"the Ray head has been silent for {_SILENCE_S:.0f} s, "
                    f"and the job is lost or out of reach: {error}"
                ) from error
            return None, ""

        self.answered = time.monotonic()
        return info, new

    def _watch_nodes(self) -> None:
        """Note the nodes that were lost while the job ran, and show each of them once."""
        for node in self.dashboard.nodes():
            if node.alive:
                self.nodes[node.id] = node

            # A cluster also lists nodes that were dead before this job began.
            elif node.id in self.nodes and node.id not in self.lost:
                self.lost[node.id] = node
                self.say(
                    f"lost node {_name(node)}; its part of the job is gone, "
                    "and Ray may fail the job or wait"
                )

    def _new_log(self) -> str:
        """What was printed since the last call; it is also passed on."""
        log = self.dashboard.logs(self.name)
        new = log[len(self.log) :]
        self.log = log

        sys.stdout.write(self.conceal(new))
        sys.stdout.flush()
        return new

    def _judge(self, info: JobInfo) -> None:
        """Return for a job that succeeded; else JobError with what is known of its end."""
        if info.status == "SUCCEEDED":
            return
        if info.status == "STOPPED":
            raise JobError(f"the Ray job was stopped from outside: {self.name}")

        self._await_lost_node()

        # Only the last traceback: workers print errors that they survive, and those would count as
        # the cause. Without any log, Ray's own message says why nothing was started.
        text = self.log or info.message
        last_traceback = text[max(text.rfind("Traceback"), 0) :]
        reasons = [likely_cause(last_traceback, 1), last_error(text)]
        if self.lost:
            reasons.insert(0, f"lost node {', '.join(map(_name, self.lost.values()))}")
        raise JobError(self.conceal(f"the Ray job failed: {': '.join(filter(None, reasons))}"))

    def _await_lost_node(self) -> None:
        """Wait until it is known which node was lost, if the job has failed of one."""
        # The job's driver sees that an actor is gone at once. Ray declares its node dead only when
        # several health checks in a row have failed.
        deadline = time.monotonic() + _NODE_DEATH_S
        while _NODE_LOSS.search(self.log) and not self.lost and time.monotonic() < deadline:
            self._watch_nodes()
            time.sleep(_POLL_S)

    def _hang(self, info: JobInfo, limit_s: float) -> JobError:
        folder = self.logs / "diagnostics"
        gather_diagnostics(self.dashboard, info, self.log, folder, self.conceal)
        return JobError(
            f"no progress for {limit_s:.0f} s, so the job was stopped; "
            f"stacks and Ray's state are in {folder}"
        )


def _name(node: Node) -> str:
    return f"{node.ip} ({node.message})" if node.message else node.ip
