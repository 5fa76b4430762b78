"""Plugins that a recipe names, found in raw data, and their options completed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlsp_cli.recipe.absolute import make_absolute
from rlsp_cli.recipe.continuation import ContinuationUse
from rlsp_cli.recipe.issue import Issue, OptionsError
from rlsp_cli.recipe.plugin_use import ExplorationUse, PluginUse, ScorerUse
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.recipe.rows import RowUse
from rlsp_cli.recipe.schedule import looks_scheduled
from rlsp_cli.recipe.search import SearchUse, StepScorerUse, TreeSearch
from rlsp_cli.recipe.section import Plain
from rlsp_cli.recipe.selector_use import SelectorUse

ResolveOptions = Callable[[str, str, dict[str, Any], Sequence[str]], dict[str, Any]]
"""`rewards.registry.resolve_options`: kind, name, options, plugin files -> all options."""

_TASK = "task:"
_SECTIONS: dict[str, type[Plain]] = {
    "verifier": PluginUse,
    "exploration_reward": ExplorationUse,
    "step_scorer": ExplorationUse,
    "selector": SelectorUse,
    "search": SearchUse,
    "continuation": ContinuationUse,
    "row_shape": RowUse,
}
"""By kind: the section that usually names such a plugin."""


def kinds_of(section: type[Plain]) -> list[str]:
    """The kinds of plugins that the key `use` of a section may name."""
    if section is ScorerUse:
        return ["exploration_reward", "step_scorer"]
    if section is StepScorerUse:
        return ["step_scorer"]
    nearest = next(base for base in section.__mro__ if base in _SECTIONS.values())
    return [kind for kind, usual in _SECTIONS.items() if usual is nearest]


@dataclass(frozen=True)
class PluginRef:
    """A plugin that is named at the dotted key `path`, with the options given there.

    All its options go into the mapping `holder`, which is at the key `options_path`.
    """

    path: str
    kind: str
    name: str
    options: dict[str, Any]
    holder: dict[str, Any]
    options_path: str

    @classmethod
    def of_use(
        cls, kind: str, holder: dict[str, Any], path: str, section: type[Plain] | None = None
    ) -> "PluginRef":
        """From `{use: NAME, scale: 10}`: keys that are not the section's own are options."""
        own = (section or _SECTIONS[kind]).model_fields
        options = {key: value for key, value in holder.items() if key not in own}
        return cls(f"{path}.use", kind, str(holder["use"]), options, holder, path)

    @classmethod
    def of_source(cls, holder: dict[str, Any], path: str) -> "PluginRef":
        """From `{source: "task:NAME", options: {...}}`."""
        options = holder.setdefault("options", {})
        name = str(holder["source"]).removeprefix(_TASK)
        return cls(f"{path}.source", "task", name, options, options, f"{path}.options")


def complete_plugins(data: dict[str, Any], resolve: ResolveOptions) -> list[Issue]:
    """Fill in the options of every plugin named in raw data; malformed data is for the schema."""
    files = data.get("plugins")
    files = [file for file in files if isinstance(file, str)] if isinstance(files, list) else []

    # A missing file is reported once, where it is named, and not for each plugin that is looked for
    # in it.
    if missing := _missing_files(files):
        return missing

    # So is a file that cannot be imported: what is said of it does not name the plugin.
    issues: dict[tuple[str, str], Issue] = {}
    for ref in plugin_refs(data):
        place = ref.name.partition(".py:")[0] if ".py:" in ref.name else ref.path
        for issue in _complete(ref, resolve, files):
            issues.setdefault((place, issue.message), issue)
    return list(issues.values())


def complete_search(
    search: dict[str, Any], path: str, resolve: ResolveOptions, files: Sequence[str] = ()
) -> list[Issue]:
    """Fill in the options of a search's policy and scorer; `path` is its key."""
    refs = _refs_of_search(search, path, TreeSearch)
    return [issue for ref in refs for issue in _complete(ref, resolve, files)]


def _missing_files(files: Sequence[str]) -> list[Issue]:
    return [
        Issue(f"plugins.{number}", f"{file}: no such plugin file")
        for number, file in enumerate(files)
        if not Path(file).is_file()
    ]


def _complete(ref: PluginRef, resolve: ResolveOptions, files: Sequence[str]) -> list[Issue]:
    # Of a selector's schedule both ends must be values that the selector takes.
    scheduled = {
        key: value
        for key, value in ref.options.items()
        if ref.kind == "selector" and looks_scheduled(value)
    }
    try:
        for end in ("end", "start"):
            ends = {key: value[end] for key, value in scheduled.items()}
            options = resolve(ref.kind, ref.name, {**ref.options, **ends}, files)
    except OptionsError as error:
        return [
            Issue(f"{ref.options_path}.{key}" if key else ref.path, text)
            for key, text in error.problems
        ]

    # A file that a plugin names itself is looked for where rlsp was started, also on resume.
    make_absolute(options, Path.cwd())
    ref.holder.update({**options, **scheduled})
    return []


def plugin_refs(data: dict[str, Any]) -> Iterator[PluginRef]:
    """Every plugin that raw data names."""
    reward = data.setdefault("reward", {})
    if isinstance(reward, dict):
        yield from _refs_of_reward(reward)

    yield from _refs_of_sampling(data)
    rounds = data.get("rounds")
    if isinstance(rounds, dict):
        yield from _refs_of_search(rounds.get("search"), "rounds.search", TreeSearch)

    evaluation = data.get("eval")
    scorer = evaluation.get("scorer") if isinstance(evaluation, dict) else None
    if isinstance(scorer, dict) and "use" in scorer:
        yield PluginRef.of_use(_scoring_kind(scorer), scorer, "eval.scorer", ScorerUse)

    if isinstance(evaluation, dict):
        yield from _refs_of_eval_search(evaluation)
    probes = evaluation.get("probes") if isinstance(evaluation, dict) else None
    for number, probe in enumerate(probes if isinstance(probes, list) else ()):
        if isinstance(probe, dict) and "use" in probe:
            yield PluginRef.of_use("row_shape", probe, f"eval.probes.{number}")

    rows = data.get("data")
    for role, given in rows.items() if isinstance(rows, dict) else ():
        path = f"data.{role}"
        if isinstance(given, list):
            for number, source in enumerate(given):
                yield from _refs_of_source(source, f"{path}.{number}")
        else:
            yield from _refs_of_source(given, path)


def _refs_of_eval_search(evaluation: dict[str, Any]) -> Iterator[PluginRef]:
    strategies = evaluation.get("strategies")
    if isinstance(strategies, list) and "search" in strategies:
        evaluation.setdefault("search", {})
    yield from _refs_of_search(evaluation.get("search"), "eval.search", SearchUse)


def _refs_of_sampling(data: dict[str, Any]) -> Iterator[PluginRef]:
    """What answers between the model's words, and what selects from responses."""
    continuation = data.get("continuation")
    if isinstance(continuation, dict) and "use" in continuation:
        yield PluginRef.of_use("continuation", continuation, "continuation")

    ppo = data.get("ppo")
    self_play = ppo.get("self_play") if isinstance(ppo, dict) else None
    if isinstance(self_play, dict) and "use" in self_play:
        yield PluginRef.of_use("continuation", self_play, "ppo.self_play")

    for key in ("ppo", "rounds"):
        section = data.get(key)
        selector = section.get("select") if isinstance(section, dict) else None
        if isinstance(selector, dict) and "use" in selector:
            yield PluginRef.of_use("selector", selector, f"{key}.select")


def _refs_of_search(search: Any, path: str, section: type[SearchUse]) -> Iterator[PluginRef]:
    if not isinstance(search, dict):
        return

    search.setdefault("use", SearchUse().use)
    yield PluginRef.of_use("search", search, path, section)
    scorer = search.get("scorer")
    if isinstance(scorer, dict) and "use" in scorer:
        yield PluginRef.of_use("step_scorer", scorer, f"{path}.scorer", StepScorerUse)


def _refs_of_source(source: Any, path: str) -> Iterator[PluginRef]:
    if _names_task(source):
        yield PluginRef.of_source(source, path)

    row = source.get("row") if isinstance(source, dict) else None
    if isinstance(row, dict) and "use" in row:
        yield PluginRef.of_use("row_shape", row, f"{path}.row")


def _names_task(source: Any) -> bool:
    is_section = isinstance(source, dict) and isinstance(source.get("options", {}), dict)
    return is_section and str(source.get("source", "")).startswith(_TASK)


def _refs_of_reward(reward: dict[str, Any]) -> Iterator[PluginRef]:
    verifier = reward.setdefault("correctness", {"use": Reward().correctness.use})
    if isinstance(verifier, dict) and "use" in verifier:
        yield PluginRef.of_use("verifier", verifier, "reward.correctness")

    path, exploration = "reward.exploration", reward.get("exploration", [])
    if isinstance(exploration, list):
        named = [(f"{path}.{number}", use) for number, use in enumerate(exploration)]
    else:
        named = [(path, exploration)]
    for place, use in named:
        if isinstance(use, dict) and "use" in use:
            yield PluginRef.of_use(_scoring_kind(use), use, place)


def _scoring_kind(use: dict[str, Any]) -> str:
    return "exploration_reward" if use.get("steps") is None else "step_scorer"
