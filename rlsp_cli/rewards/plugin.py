"""A plugin: a plain typed function under one of eight decorators, which check its signature."""

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from rlsp_cli.errors import PluginError
from rlsp_cli.recipe.continuation import ContinuationUse
from rlsp_cli.recipe.plugin_use import ExplorationUse
from rlsp_cli.recipe.search import SearchUse
from rlsp_cli.rewards.options import options_model
from rlsp_cli.rewards.sample import CheckedVerdict, Sample, Verdict
from rlsp_cli.rewards.source import reads_field, source_digest
from rlsp_cli.rewards.tree import Tree

_SIGNATURES: dict[str, dict[tuple[Any, ...], set[Any]]] = {
    "verifier": {(Sample,): {bool, float, Verdict, CheckedVerdict, NoneType}},
    "exploration_reward": {(Sample,): {float, NoneType}, (Sequence[Sample],): {list}},
    "step_scorer": {(Sample, Sequence[str]): {list}},
    "selector": {(Sequence[Sample],): {list}},
    "search": {(Tree,): {list}},
    "continuation": {(Sample,): {str, NoneType}},
    "task": {(int, str): {dict}},
    "row_shape": {(dict[str, Any],): {dict, list}},
}
"""By kind: the types of its positional parameters, and what it may return for each."""
_TAKEN = {
    "search": frozenset(SearchUse.model_fields),
    "continuation": frozenset(ContinuationUse.model_fields),
}
"""Keys of a recipe's entry of such a plugin, which no option may be called; of all other kinds:"""
_TAKEN_USUALLY = frozenset(ExplorationUse.model_fields)

Function = TypeVar("Function", bound=Callable[..., Any])


def exploration_reward(function: Function) -> Function:
    """Register `f(sample: Sample, *, options) -> float`; None abstains.

    A function of `Sequence[Sample]` gets all samples of a prompt at once and returns a list with an
    item for each.
    """
    return _register("exploration_reward", function)


def verifier(function: Function) -> Function:
    """Register `f(sample: Sample, *, options) -> bool | float | Verdict`, 0 to 1; None abstains."""
    return _register("verifier", function)


def step_scorer(function: Function) -> Function:
    """Register `f(sample: Sample, steps: Sequence[str], *, options) -> list[float | None]`.

    One score from 0 to 1 for each step; None abstains. A step's score may depend on the steps
    before it, and on none after it: in a search those are not there yet.
    """
    return _register("step_scorer", function)


def selector(function: Function) -> Function:
    """Register `f(group: Sequence[Sample], *, options) -> list[bool]`, an item for each sample.

    True keeps a sample of the prompt; a list of False drops the prompt.
    """
    return _register("selector", function)


def search(function: Function) -> Function:
    """Register `f(tree: Tree, *, options) -> list[tuple[Node, int]]`, a search policy.

    Which nodes to expand now, and with how many children each; an empty list ends the search.
    """
    return _register("search", function)


def continuation(function: Function) -> Function:
    """Register `f(sample: Sample, *, options) -> str | None`: what follows the model's words.

    The text comes from elsewhere and is never trained on; None ends the response. `sample.turns`
    has what was said so far, and the last turn is the model's.
    """
    return _register("continuation", function)


def task(function: Function) -> Function:
    """Register `f(index: int, split: str, *, options) -> dict`: row `index`, always the same."""
    return _register("task", function)


def row_shape(function: Function) -> Function:
    """Register `f(row: dict[str, Any], *, options) -> dict`, with `problem`, `answer` and so on.

    A list of such dicts makes several rows of one.
    """
    return _register("row_shape", function)


@dataclass(frozen=True)
class Plugin:
    """A registered function; `origin` is its file or its entry point."""

    kind: str
    name: str
    function: Callable[..., Any]
    origin: str

    @cached_property
    def options(self) -> type[BaseModel]:
        """The options that a recipe may give, as a pydantic model."""
        return options_model(self.function)

    @property
    def reference(self) -> str:
        """A name by which any process finds it: `file.py:function`, or that of an entry point."""
        return f"{self.origin}:{self.name}" if self.origin.endswith(".py") else self.name

    @cached_property
    def takes_group(self) -> bool:
        """Whether it is given all samples of a prompt in one call."""
        first = next(iter(inspect.signature(self.function).parameters))
        return bool(get_type_hints(self.function)[first] == Sequence[Sample])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its file, and of the user's own modules that the file imports."""
        return source_digest(Path(inspect.getfile(self.function)))

    @cached_property
    def needs_reference(self) -> bool:
        """Whether its file reads the reference of a sample, and so needs the row's answer."""
        return reads_field(Path(inspect.getfile(self.function)), "reference")

    @cached_property
    def reads_logprobs(self) -> bool:
        """Whether its file reads the log-probability of a node."""
        return reads_field(Path(inspect.getfile(self.function)), "logprob")

    @property
    def doc(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]


def _register(kind: str, function: Function) -> Function:
    """Check the signature and mark the function, so that a file's plugins can be found in it."""
    code = function.__code__
    where = f"{code.co_filename}:{code.co_firstlineno}: @{kind} {function.__name__}"
    try:
        hints = get_type_hints(function)
    except NameError as error:
        raise PluginError(f"{where}: its annotations cannot be read: {error}") from error

    # What is positional is ours to give; what comes after the star is for recipes to set.
    parameters = list(inspect.signature(function).parameters.values())
    positional = [
        parameter for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY
    ]
    given = tuple(hints.get(parameter.name) for parameter in positional)

    may_return = _SIGNATURES[kind].get(given)
    if may_return is None or any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        expected = " or ".join(f"({_type_names(types)}, *, options)" for types in _SIGNATURES[kind])
        raise PluginError(
            f"{where}: takes ({_type_names(given) or 'nothing'}), expected {expected}"
        )

    for option in parameters[len(positional) :]:
        _check_option(option, hints, _TAKEN.get(kind, _TAKEN_USUALLY), where)

    if "return" not in hints or not _return_types(hints["return"]) <= may_return:
        types = " | ".join(sorted(_type_name(type_) for type_ in may_return - {NoneType}))
        raise PluginError(f"{where}: must be annotated to return {types}")

    function.__rlsp_kind__ = kind  # type: ignore[attr-defined]
    return function


def _check_option(
    option: inspect.Parameter, hints: dict[str, Any], taken: Collection[str], where: str
) -> None:
    """PluginError unless a recipe can leave the option out, and can set it."""
    if option.name not in hints or option.default is option.empty:
        raise PluginError(f"{where}: option {option.name!r} needs a type and a default")
    if option.name in taken:
        raise PluginError(
            f"{where}: option {option.name!r}: recipes use this key already; rename it"
        )


def _type_names(annotations: Sequence[Any]) -> str:
    return ", ".join(map(_type_name, annotations))


def _type_name(annotation: Any) -> str:
    """A type as an author writes it: `Sample`, `Sequence[Sample]`."""
    if annotation is None:
        return "no type"
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return str(annotation).rpartition("abc.")[2].replace("rlsp_cli.rewards.sample.", "")


def _return_types(annotation: Any) -> set[Any]:
    """The members of a union, each without its type arguments."""
    if get_origin(annotation) not in (Union, UnionType):
        return {get_origin(annotation) or annotation}

    types: set[Any] = set()
    for part in get_args(annotation):
        types |= _return_types(part)
    return types
