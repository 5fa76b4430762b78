"""A client of Ray's dashboard: jobs, packages and state over REST, so that rlsp needs no Ray."""

import re
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx2

from rlsp_cli.errors import JobError, NotReadyError, RlspError

_TIMEOUT_S = 30.0
_TRIES, _PAUSE_S = 4, 2.0
_ROWS = 10_000
"""The most rows that the state API gives."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_UNUSED: Sequence[float] = (0.0,)
"""Usage is a pair [used, total]; a resource that nothing uses may be missing."""


class UnreachableError(JobError):
    """The dashboard's address gives no answer, or not in time, or none that helps."""


class _BusyError(UnreachableError):
    """An answer that the dashboard cannot serve the request now."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster. `free_*` is None while the cluster has not counted yet."""

    id: str
    ip: str
    alive: bool
    is_head: bool
    gpus: float
    cpus: float
    free_gpus: float | None
    free_cpus: float | None
    message: str | None


@dataclass(frozen=True)
class JobInfo:
    """How a submitted job stands: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""

    status: str
    message: str
    job_id: str | None
    node: str | None
    """The node on which its driver runs."""
    pid: int | None
    """Its driver's process there."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in ("SUCCEEDED", "FAILED", "STOPPED")


class Dashboard:
    """A cluster's dashboard; the headers open it.

    Every call raises JobError when it is refused, UnreachableError when there is no answer, and
    NotReadyError when access is denied: a token or a password is missing or wrong.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self.url = url.rstrip("/")
        self.headers = dict(headers or {})

        # No proxy leads to a cluster nearby, and a redirect would lose a request's body.
        # Certificates are the system's, where sites add their own. Requests may be minutes apart:
        # a connection kept open between them would be closed at the other end by then.
        self._client = httpx2.Client(
            headers=self.headers,
            timeout=_TIMEOUT_S,
            trust_env=False,
            verify=ssl.create_default_context(),
            limits=httpx2.Limits(max_keepalive_connections=0),
        )

    def version(self) -> str:
        """Ray's version there."""
        return str(self._json("GET", "/api/version")["ray_version"])

    def is_open(self) -> bool:
        """Whether it lets in a request with these headers."""
        try:
            self.version()
        except NotReadyError:
            return False
        return True

    def nodes(self) -> list[Node]:
        """All nodes that the cluster has had, dead ones too."""
        # Only the autoscaler's report knows what is in use, and a cluster has none in its first
        # seconds.
        status = self._json("GET", "/api/cluster_status?format=0")["data"]["clusterStatus"] or {}
        usage = (status.get("loadMetricsReport") or {}).get("usageByNode") or {}

        rows = self.state("nodes", detail=True)
        return [_node(row, usage.get(row["node_id"], {})) for row in rows]

    def state(self, what: str, detail: bool = False) -> list[dict[str, Any]]:
        """Rows of `nodes`, `actors`, `tasks` or `placement_groups`."""
        answer = self._json("GET", f"/api/v0/{what}?limit={_ROWS}{'&detail=1' if detail else ''}")
        return list(answer["data"]["result"]["result"])

    def stack(self, node: str, pid: int) -> str:
        """Stacks of a process of a node, or why there are none; py-spy takes them."""
        return self._ask("GET", f"/worker/traceback?pid={pid}&node_id={node}").text

    def upload(self, name: str, package: bytes) -> str:
        """The address of a package in a runtime environment; it is sent unless it is there."""
        # The name is a hash of the content, so a package of this name is the same one.
        path = f"/api/packages/gcs/{name}"
        try:
            self._ask("GET", path)
        except JobError:
            self._ask(
                "PUT", path, content=package, headers={"Content-Type": "application/octet-stream"}
            )
        return f"gcs://{name}"

    def submit(self, submission: str, entrypoint: str, runtime_env: Mapping[str, Any]) -> None:
        """Start a job under a name that was never used there."""
        body = {"submission_id": submission, "entrypoint": entrypoint, "runtime_env": runtime_env}
        try:
            self._json("POST", "/api/jobs/", body)
        except JobError as error:
            # The first try may have been taken though its answer was lost; the next one is then
            # refused, because the name is used.
            try:
                self.job(submission)
            except JobError:
                raise error from None

    def job(self, submission: str) -> JobInfo:
        """How a job stands."""
        data = self._json("GET", f"/api/jobs/{submission}")
        pid = (data.get("driver_info") or {}).get("pid")
        node, message = data.get("driver_node_id"), data.get("message") or ""
        return JobInfo(data["status"], message, data.get("job_id"), node, int(pid) if pid else None)

    def logs(self, submission: str) -> str:
        """All that a job has printed, without colours."""
        text = str(self._json("GET", f"/api/jobs/{submission}/logs")["logs"] or "")
        return _COLOUR.sub("", text)

    def stop(self, submission: str) -> None:
        """Ask a job to end; nothing happens when it has ended."""
        self._json("POST", self._stop_path(submission))

    def stop_url(self, submission: str) -> str:
        """The address at which another process can ask a job to end."""
        return self.url + self._stop_path(submission)

    @staticmethod
    def _stop_path(submission: str) -> str:
        return f"/api/jobs/{submission}/stop"

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        answer = self._ask(method, path, json=body).json()

        # Some answers of status 200 say only in their body that they failed.
        if isinstance(answer, dict) and answer.get("result") is False:
            raise _BusyError(f"{self.url}: {answer.get('msg', 'failed without a message')}")
        return answer

    def _ask(self, method: str, path: str, **body: Any) -> httpx2.Response:
        # A busy dashboard fails now and then, and answers the next time.
        for _ in range(_TRIES - 1):
            try:
                return self._ask_once(method, path, **body)
            except _BusyError:
                time.sleep(_PAUSE_S)
        return self._ask_once(method, path, **body)

    def _ask_once(self, method: str, path: str, **body: Any) -> httpx2.Response:
        try:
            answer = self._client.request(method, self.url + path, **body)
        except httpx2.HTTPError as error:
            raise UnreachableError(f"no Ray dashboard answers at {self.url}: {error}") from error

        if not answer.is_success:
            raise self._refusal(path, answer)
        return answer

    def _refusal(self, path: str, answer: httpx2.Response) -> RlspError:
        """The error that an answer other than a success means."""
        # Ray answers with a traceback, whose last line is the error; a proxy with a page of HTML.
        is_page = "html" in answer.headers.get("Content-Type", "")
        lines = answer.text.strip().splitlines()
        reason = lines[-1] if lines and not is_page else answer.reason_phrase
        message = f"{self.url}{path.partition('?')[0]}: {answer.status_code}: {reason}"

        if hint := _hint(answer, self.headers):
            return NotReadyError(f"{message}; {hint}")
        return _BusyError(message) if answer.is_server_error else JobError(message)


def _hint(answer: httpx2.Response, headers: Mapping[str, str]) -> str | None:
    """What to set when access is denied; None for every other answer."""
    if answer.is_redirect:
        # Without the password and the query, which may hold secrets.
        there = urlsplit(answer.headers.get("Location", ""))
        host = there.netloc.rpartition("@")[2]
        return (
            f"it redirects to {there.scheme}://{host}{there.path}; "
            "give the address that it leads to"
        )

    if answer.status_code not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return None

    # Basic authentication is a proxy's in front of the dashboard; Ray's own is a bearer token.
    if answer.headers.get("WWW-Authenticate", "").lower().startswith("basic"):
        return "it wants a user and a password: RAY_ADDRESS=http://USER:PASSWORD@HOST:PORT"

    if any(value.startswith("Bearer ") for value in headers.values()):
        return (
            "the token in RAY_AUTH_TOKEN, or in the file RAY_AUTH_TOKEN_PATH, "
            "is not that of this cluster"
        )
    return (
        "the cluster wants a token: "
        "set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to a file that holds it"
    )


def _node(row: Mapping[str, Any], usage: Mapping[str, Sequence[float]]) -> Node:
    total = row["resources_total"] or {}  # None for a dead node
    gpus, cpus = float(total.get("GPU", 0)), float(total.get("CPU", 0))

    return Node(
        id=row["node_id"],
        ip=row["node_ip"],
        alive=row["state"] == "ALIVE",
        is_head=bool(row["is_head_node"]),
        gpus=gpus,
        cpus=cpus,
        free_gpus=gpus - usage.get("GPU", _UNUSED)[0] if usage else None,
        free_cpus=cpus - usage.get("CPU", _UNUSED)[0] if usage else None,
        message=row.get("state_message"),
    )
