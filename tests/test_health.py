"""Whether a worker can be trusted with the next sample."""

import errno
import os
from pathlib import Path

import pytest

from rlsp_cli.rewards.health import Health


def system_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def test_what_a_plugin_has_changed_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RLSP_TEST", "before")
    (tmp_path / "elsewhere").mkdir()
    health = Health()
    mask = os.umask(0)
    os.umask(mask)

    os.chdir("elsewhere")
    os.environ["RLSP_TEST"] = "after"
    os.environ["RLSP_MORE"] = "new"
    os.umask(0o777)
    assert health.is_fit_after(None)

    assert Path.cwd() == tmp_path
    assert os.environ["RLSP_TEST"] == "before"
    assert "RLSP_MORE" not in os.environ
    assert os.umask(mask) == mask


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM, errno.EAGAIN])
def test_a_process_that_has_run_out_of_something_is_unfit_for_good(number: int) -> None:
    health = Health()
    assert not health.is_fit_after(system_error(number))
    assert not health.is_fit_after(None)


def test_an_error_of_the_system_is_seen_behind_one_of_the_plugins() -> None:
    error = ValueError("no answer")
    error.__context__ = system_error(errno.EMFILE)
    assert not Health().is_fit_after(error)


def test_any_three_errors_of_the_system_in_a_row_put_a_process_in_doubt() -> None:
    health = Health()
    missing = system_error(errno.ENOENT)
    assert [health.is_fit_after(missing) for _ in range(3)] == [True, True, False]


def test_a_call_that_ends_well_between_errors_of_the_system_restores_trust() -> None:
    health = Health()
    missing = system_error(errno.ENOENT)
    errors = [missing, missing, None, missing, missing]
    assert all(health.is_fit_after(error) for error in errors)


def test_errors_of_samples_say_nothing_about_the_process() -> None:
    health = Health()
    assert all(health.is_fit_after(ValueError("no number")) for _ in range(10))
