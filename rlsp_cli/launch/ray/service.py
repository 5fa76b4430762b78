"""The reward service of a job: a child of the driver, started again on its port when it dies."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rlsp_cli.child.cause import last_error
from rlsp_cli.child.die_with_parent import end, spawn
from rlsp_cli.errors import JobError, NotReadyError, RlspError, SafetyError
from rlsp_cli.launch.ray.address import LOOPBACK
from rlsp_cli.runs.failure import VARIABLE, read_failure

_LISTENING = re.compile(rb"listening on https?://\S*:(\d+)")
_RESTARTS = 3
"""Restarts in a row, with no progress of the job between them, after which it is given up."""
_POLL_S = 0.1


class RewardService:
    """The child, its port, and how often it was started again since the job was last active."""

    def __init__(
        self, argv: tuple[str, ...], host: str, token: str, logs: Path, say: Callable[[str], None]
    ) -> None:
        # On a cluster of several machines the workers that ask are elsewhere.
        everywhere = ("--host", "0.0.0.0") if host != LOOPBACK else ()  # noqa: S104 (it wants a token)
        self.argv = (*argv, *everywhere)
        self.host, self.say = host, say
        self.log, self.report = logs / "service.log", logs / "service.error.json"

        # Its own error is not the job's: the service may be started again. An error that must end
        # the job, such as that of the breaker, it writes into the job's file itself.
        self.environment: Mapping[str, str] = {
            **os.environ,
            "RLSP_REWARD_TOKEN": token,
            VARIABLE: str(self.report),
            "RLSP_JOB_ERROR_FILE": str(logs / "error.json"),
        }

        self.port: int | None = None
        self.restarts = 0
        self.child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the nodes of the cluster reach it."""
        return f"http://{self.host}:{self.port}"

    def start(self, timeout_s: float) -> None:
        """Return when it listens; NotReadyError when it ends first, or has not begun in time."""
        # An earlier attempt may have left its own line with another port in this log.
        seen = self.log.stat().st_size if self.log.exists() else 0
        child = self._spawn()

        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            # In this order: it may write the line and end between two looks.
            over = child.poll() is not None
            found = _LISTENING.search(self.log.read_bytes()[seen:])
            if found:
                self.port = int(found[1])
                return
            if over:
                raise self._failure(child.returncode)
            time.sleep(_POLL_S)

        raise NotReadyError(
            f"the reward service did not listen within {timeout_s:.0f} s; see {self.log}"
        )

    def tend(self, progress: bool) -> None:
        """Start the service again if it has died; `progress` says whether the job has made some.

        SafetyError when the service's breaker ended it, JobError when it dies again and again.
        """
        self.restarts = 0 if progress else self.restarts

        code = self.child.poll() if self.child else None
        if code is None:
            return

        error = self._failure(code)
        if isinstance(error, SafetyError) or self.restarts == _RESTARTS:
            raise error

        self.restarts += 1
        self.say(
            f"the reward service ended with code {code}; starting it again on port {self.port}"
        )
        self._spawn()

    def close(self) -> None:
        """End the child."""
        if self.child is not None:
            end(self.child)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        self.report.unlink(missing_ok=True)

        # The job's workers know the address already, and ask again until it answers.
        same_port = ("--port", str(self.port)) if self.port else ()
        self.child = spawn([*self.argv, *same_port], self.environment, self.log)
        return self.child

    def _failure(self, code: int) -> RlspError:
        """The error of a child that has ended; its own message if it wrote one."""
        if self.report.exists():
            reason = str(read_failure(self.report))
        else:
            log = self.log.read_text(encoding="utf-8", errors="replace")
            reason = f"{last_error(log)} (more in {self.log})"

        if code == SafetyError.exit_code:
            return SafetyError(reason)

        # Before it has ever listened, something of the environment is wrong; later it broke.
        message = f"the reward service ended with code {code}: {reason}"
        return JobError(message) if self.port else NotReadyError(message)


@contextmanager
def reward_service(
    argv: tuple[str, ...] | None,
    host: str,
    token: str,
    logs: Path,
    timeout_s: float,
    say: Callable[[str], None],
) -> Iterator[RewardService | None]:
    """A service that listens, ended afterwards; None for a job that needs none."""
    if argv is None:
        yield None
        return

    service = RewardService(argv, host, token, logs, say)
    try:
        service.start(timeout_s)
        yield service
    finally:
        service.close()
