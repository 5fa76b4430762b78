"""The catalogue of methods names only what exists, and the page and the command show it."""

import ast
import json
import re
import runpy
import shlex
from functools import cache
from typing import Any

import pytest
from ruamel.yaml import YAML

from rlsp_cli.cli.options import named_selector
from rlsp_cli.errors import PluginError, RlspError
from rlsp_cli.evals.benches import find_bench
from rlsp_cli.recipe.key_values import read_settings
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.recipe.merge import merged_data
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.shipped import find_recipe
from rlsp_cli.rewards.method import Method, all_methods, find_method, methods_of
from rlsp_cli.rewards.registry import list_plugins, resolve_options
from rlsp_cli.traces import TraceSettings
from tests.conftest import ROOT, rlsp
from tests.test_docs import check_command

BASE = {
    "name": "base",
    "model": {"path": "model"},
    "data": {
        "traces": {"source": "traces.jsonl"},
        "prompts": {"source": "prompts.jsonl"},
        "heldout": {"source": "heldout.jsonl"},
    },
    "sft": {},
    "ppo": {},
    "eval": {},
}
"""A recipe of all stages, into which each method's lines are merged."""


def check_recipe(method: Method) -> None:
    """Its lines make a valid recipe, with plugins, their options and benches that exist."""
    data: Any = BASE
    for line in method.recipe:
        section = YAML(typ="safe", pure=True).load(line)
        assert len(section) == 1, f"{line}: one section a line"
        data = merged_data(data, section)
    check_benches(resolve_recipe(data, plugins=resolve_options))


def check_benches(recipe: Recipe) -> None:
    for bench in set(recipe.eval.benches if recipe.eval else ()) - {"heldout"}:
        find_bench(bench)


def check_use(text: str) -> None:
    """A command exists with its options, and so do the selector, the recipe and the keys that it is given."""
    program, *words = shlex.split(text)
    assert program == "rlsp", text
    check_command(words)

    given: dict[str, list[str]] = {"--option": []}
    keys: list[str] = []
    before = ""
    for word in words:
        if before.startswith("-"):
            given.setdefault(before, []).append(word)
        elif "=" in word:
            keys.append(word)
        before = word

    for selector in given.get("--select", []) + given.get("--selector", []):
        named_selector(selector, given["--option"], [])
    if words[:2] == ["data", "traces"]:
        settings = read_settings(keys, TraceSettings)
        assert settings.verifier is None or settings.verifier in plugin_names()
    else:
        check_benches(resolve_recipe(BASE, keys, plugins=resolve_options))
    if words[0] in ("run", "sft", "ppo"):
        find_recipe(words[1])


@cache
def plugin_names() -> set[str]:
    return {plugin.name for plugin in list_plugins()}


@cache
def names_of_tests(file: str) -> set[str]:
    """The names of a file's tests."""
    tree = ast.parse((ROOT / "tests" / file).read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {node.name for node in functions if node.name.startswith("test_")}


def check_row(method: Method) -> None:
    """Everything that the row names exists, and the row has what its state says."""
    check_recipe(method)
    uses = " ".join((*method.recipe, *method.commands))
    for text in method.commands:
        check_use(text)
    for plugin in method.plugins:
        assert plugin in plugin_names(), plugin
        assert re.search(rf"\b{plugin}\b", uses), f"{plugin}: in no recipe line and no command"
    for test in method.tests:
        file, _, name = test.partition("::")
        assert name in names_of_tests(file), test

    if method.state == "not yet":
        assert not (method.has or uses or method.tests or method.plugins)
    else:
        assert method.has and uses and method.tests
    assert method.left_out or method.state == "works"


@pytest.mark.parametrize("method", all_methods(), ids=lambda method: method.name)
def test_what_a_row_names_exists(method: Method) -> None:
    check_row(method)


WORKING = find_method("PF-PPO")


@pytest.mark.parametrize(
    "wrong",
    [
        {"plugins": ("bw", "no_such_selector")},
        {"plugins": ("pass_rate",)},
        {"recipe": ("ppo: {select: {use: no_such_selector}}",)},
        {"recipe": ("ppo: {select: {use: bw, no_such_option: 1}}",)},
        {"recipe": ("ppo: {no_such_key: 1}",)},
        {"recipe": ("eval: {benches: [no_such_bench]}",)},
        {"commands": ("rlsp reward choose RUN",)},
        {"commands": ("rlsp reward select RUN --no-such-option",)},
        {"commands": ("rlsp reward select RUN --selector no_such_selector",)},
        {"commands": ("rlsp data prompts my.yaml --select bw --option no_such_option=1",)},
        {"commands": ("rlsp data traces rows.jsonl --out traces.jsonl no_such_key=1",)},
        {"commands": ("rlsp run no_such_recipe",)},
        {"commands": ("rlsp run my.yaml ppo.no_such_key=1",)},
        {"tests": ("test_selectors.py::test_no_such_test",)},
        {"tests": ()},
        {"state": "not yet"},
        {"state": "partly", "left_out": ""},
    ],
    ids=str,
)
def test_a_row_that_names_what_does_not_exist_is_found(wrong: dict[str, Any]) -> None:
    with pytest.raises((AssertionError, RlspError)):
        check_row(WORKING.model_copy(update=wrong))


def test_each_method_is_there_once() -> None:
    methods = all_methods()
    assert [method.number for method in methods] == list(range(1, 81))
    for named in ("name", "title", "arxiv"):
        assert len({getattr(method, named).casefold() for method in methods}) == len(methods)
    for method in methods:
        assert re.fullmatch(r"\d{4}\.\d{5}", method.arxiv)
        assert "," not in method.name  # the plugins of several methods list them with commas


def test_the_page_of_methods_is_current() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "methods.py"))["page"]
    assert (ROOT / "docs" / "methods.md").read_text() == page()


def test_a_method_is_found_by_name_in_any_case_or_by_number() -> None:
    assert find_method("swe-rl") is find_method("18") is find_method(" SWE-RL ")
    assert find_method("Qwen2.5-Math").number == 4
    assert methods_of("sequence_similarity") == "SWE-RL"
    assert methods_of("exact_match") is None


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [
        ("swerl", '"SWE-RL"'),
        ("particle", '"Particle filtering"'),
        ("zzzzz", "docs/methods.md"),
        ("", "docs/methods.md"),
        ("81", "docs/methods.md"),
    ],
)
def test_an_unknown_method_is_one_line_with_near_names(wanted: str, hint: str) -> None:
    with pytest.raises(PluginError, match=f"unknown method {wanted!r} - .*{hint}") as caught:
        find_method(wanted)
    assert "\n" not in str(caught.value)


@pytest.mark.integration
def test_plugins_are_listed_by_the_method_that_they_carry() -> None:
    (row,) = json.loads(rlsp("plugins", "list", "--method", "SWE-RL", "--json").stdout)["data"]
    assert row["kind"] == "verifier" and row["name"] == "sequence_similarity"
    assert row["method"] == "SWE-RL" and row["summary"]

    shown = rlsp("plugins", "list", "--method", "58").stdout
    assert shown.startswith("58 RPC: works (arXiv 2502.00511)")
    assert "strategies: [rpc" in shown

    done = rlsp("plugins", "list", "--method", "swerl", check=False)
    assert done.returncode == 3 and 'did you mean "SWE-RL"' in done.stderr
