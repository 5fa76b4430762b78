"""Plugins: signatures are checked when they register, names are found or explained."""

from pathlib import Path

import pytest

from rlsp_cli.errors import PluginError
from rlsp_cli.recipe.issue import OptionsError
from rlsp_cli.rewards.plugin_file import load_file
from rlsp_cli.rewards.registry import (
    BrokenPlugin,
    built_in,
    get_plugin,
    list_plugins,
    resolve_options,
)
from rlsp_cli.rewards.sample import Sample

HEAD = "from rlsp_cli.rewards import Sample, Verdict, exploration_reward, task, verifier\n\n"


def write(folder: Path, body: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(HEAD + body)
    return path


@pytest.mark.parametrize(
    ("kind", "name"),
    [(k, n) for k in ("verifier", "exploration_reward", "selector", "task") for n in built_in(k)],
)
def test_built_in_plugins_load_and_say_what_they_do(kind: str, name: str) -> None:
    plugin = get_plugin(kind, name)
    assert plugin.doc and len(plugin.digest) == 64
    assert name in [p.name for p in list_plugins() if not isinstance(p, BrokenPlugin)]


def test_a_plugin_in_a_file_is_named_by_path_and_by_name(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "@exploration_reward\ndef mine(sample: Sample, *, k: int = 2) -> float:\n    return 1 / k\n",
    )
    assert get_plugin("exploration_reward", f"{path}:mine").origin == str(path)
    assert get_plugin("exploration_reward", "mine", [str(path)]).name == "mine"


def test_options_are_completed_and_wrong_ones_are_named(tmp_path: Path) -> None:
    assert resolve_options("exploration_reward", "length", {"scale": 5}, ()) == {
        "scale": 5.0,
        "floor": -1.0,
        "form": "inverse",
    }
    with pytest.raises(OptionsError) as caught:
        resolve_options("exploration_reward", "length", {"scael": 5, "floor": "low"}, ())
    assert dict(caught.value.problems).keys() == {"scael", "floor"}
    assert 'did you mean "scale"?' in str(caught.value)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("@verifier\ndef f(sample) -> bool: ...", "takes (no type), expected (Sample, *, options)"),
        (
            "@verifier\ndef f(sample: Sample): ...",
            "must be annotated to return CheckedVerdict | Verdict | bool | float",
        ),
        (
            "@verifier\ndef f(sample: Sample) -> str: ...",
            "must be annotated to return CheckedVerdict | Verdict | bool | float",
        ),
        (
            "@exploration_reward\ndef f(sample: Sample) -> bool: ...",
            "must be annotated to return float",
        ),
        (
            "@exploration_reward\ndef f(sample: Sample, k: int = 1) -> float: ...",
            "takes (Sample, int)",
        ),
        (
            "@exploration_reward\ndef f(sample: Sample, *, k: int) -> float: ...",
            "option 'k' needs a type and a default",
        ),
        ("@exploration_reward\ndef f(sample: Sample, **k: int) -> float: ...", "takes (Sample"),
        (
            "@exploration_reward\ndef f(sample: Sample, *, weight: float = 1.0) -> float: ...",
            "recipes use this key",
        ),
        ("@task\ndef f(index: int) -> dict: ...", "takes (int), expected (int, str, *, options)"),
        ("@verifier\ndef f(sample: Nothing) -> bool: ...", "annotations cannot be read"),
    ],
)
def test_a_wrong_signature_is_refused_with_its_place(tmp_path: Path, body: str, words: str) -> None:
    path = write(
        tmp_path,
        f"from __future__ import annotations\n{body}\n".replace(
            "from __future__ import annotations\n", ""
        ),
    )
    if "Nothing" in body:
        path.write_text("from __future__ import annotations\n" + path.read_text())
    with pytest.raises(PluginError) as caught:
        load_file(path)
    assert words in str(caught.value) and f"{path}:" in str(caught.value)


def test_abstaining_may_be_announced(tmp_path: Path) -> None:
    path = write(
        tmp_path, "@verifier\ndef f(sample: Sample) -> bool | Verdict | None:\n    return None\n"
    )
    assert get_plugin("verifier", f"{path}:f").function(Sample("", "", "")) is None


def test_a_name_that_is_there_twice_names_both_sources(tmp_path: Path) -> None:
    path = write(
        tmp_path, "@exploration_reward\ndef length(sample: Sample) -> float:\n    return 0.0\n"
    )
    with pytest.raises(PluginError) as caught:
        get_plugin("exploration_reward", "length", [str(path)])
    assert "built in" in str(caught.value) and str(path) in str(caught.value)


def test_an_unknown_name_a_wrong_kind_and_a_missing_file_are_told_apart(tmp_path: Path) -> None:
    path = write(tmp_path, "@verifier\ndef mine(sample: Sample) -> bool:\n    return True\n")
    with pytest.raises(
        PluginError, match="unknown verifier 'math_verfy' - did you mean \"math_verify\""
    ):
        get_plugin("verifier", "math_verfy")
    with pytest.raises(PluginError, match="'mine' is a verifier, expected an exploration reward"):
        get_plugin("exploration_reward", f"{path}:mine")
    with pytest.raises(PluginError, match="no such plugin file"):
        get_plugin("verifier", f"{tmp_path}/none.py:mine")
    with pytest.raises(PluginError, match="decorate it with @verifier"):
        get_plugin("verifier", f"{path}:yours")
    with pytest.raises(PluginError, match=r"names a file and no verifier in it; write .*:FUNCTION"):
        get_plugin("verifier", str(path))


@pytest.mark.parametrize(
    ("body", "words"),
    [("1 / 0\n", ":3: this plugin cannot be loaded: ZeroDivisionError"), ("def (", "SyntaxError")],
)
def test_a_file_that_fails_names_its_own_line(tmp_path: Path, body: str, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        load_file(write(tmp_path, body))


def test_installed_plugins_are_found_and_a_broken_one_is_listed_not_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        tmp_path,
        "@exploration_reward\ndef novel(sample: Sample) -> float:\n    return 0.5\n",
        "rlsp_test_plugin.py",
    )
    info = tmp_path / "rlsp_test_plugin-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rlsp-test-plugin\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[rlsp.rewards]\nnovel = rlsp_test_plugin:novel\nbroken = rlsp_no_such_module:f\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "rlsp-test-plugin 1.2" in get_plugin("exploration_reward", "novel").origin
    (broken,) = [p for p in list_plugins() if isinstance(p, BrokenPlugin)]
    assert broken.name == "broken" and "rlsp_no_such_module" in broken.reason
