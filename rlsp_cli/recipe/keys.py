"""Every key of a recipe by its dotted path: those of the schema, and those that a recipe adds."""

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic_core import to_jsonable_python

from rlsp_cli.recipe.section import Plain


class Key(NamedTuple):
    """A key that can be given a value; sections are only parts of the paths of their keys."""

    path: str
    """Dotted path, as in `key.path=value`."""
    annotation: Any
    """Type of its value; Any for an option of a plugin."""
    section: type[Plain]
    """The section that it is a key of."""
    value: Any
    """Its value in the recipe, or else its default, as plain data."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def is_optional(self) -> bool:
        """Whether it may be null."""
        return NoneType in _alternatives(self.annotation)

    @property
    def is_list(self) -> bool:
        """Whether the value is a list."""
        return any(get_origin(part) is tuple for part in _alternatives(self.annotation))

    @property
    def choices(self) -> list[str]:
        """The words that the value, or an item of a list, may be; none if it may be anything."""
        return list(_words(self.annotation))


def keys_of(section: type[Plain], given: Any = None, prefix: str = "") -> Iterator[Key]:
    """The keys of a section and of all sections in it; `given` is what a recipe has there."""
    given = given if isinstance(given, dict) else {}
    for name, field in section.model_fields.items():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        value = given[name] if name in given else to_jsonable_python(default)
        yield from _keys_at(f"{prefix}{name}", field.annotation, section, value)

    # The options of a plugin stand beside the section's own keys.
    for name in given:
        if name not in section.model_fields:
            yield Key(f"{prefix}{name}", Any, section, given[name])


def _keys_at(path: str, annotation: Any, section: type[Plain], value: Any) -> Iterator[Key]:
    inner = _section_in(annotation)
    parts = [part for part in _alternatives(annotation) if part is not NoneType]
    if not all(_section_in(part) for part in parts):
        yield Key(path, annotation, section, value)
    if inner is None:
        return

    # The recipe says how many there are of a list, and by which names those of a mapping go.
    if isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from keys_of(inner, item, f"{path}.{number}.")
    elif any(get_origin(part) is dict for part in parts):
        for name, item in value.items():
            yield from keys_of(inner, item, f"{path}.{name}.")
    else:
        yield from keys_of(inner, value, f"{path}.")


def _alternatives(annotation: Any) -> Iterator[Any]:
    """The members of a union; of anything else, itself."""
    if get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from _alternatives(part)
    else:
        yield annotation


def _section_in(annotation: Any) -> type[Plain] | None:
    """The first section among the types of a value, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, Plain):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)


def _words(annotation: Any) -> Iterator[str]:
    if annotation is bool:
        yield from ("true", "false")
    elif get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
    elif get_origin(annotation) is not dict:
        for part in get_args(annotation):
            yield from _words(part)
