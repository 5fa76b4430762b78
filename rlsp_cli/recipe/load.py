"""Recipe files and overrides -> one validated Recipe, or every problem at once.

The steps: read (with `extends`), override, interpolate, make paths absolute, resolve plugins, validate.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from rlsp_cli.errors import RecipeError
from rlsp_cli.recipe import schema
from rlsp_cli.recipe.issue import Issue, OptionsError, did_you_mean
from rlsp_cli.recipe.origin import Origin, nearest_origin
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.section import Section
from rlsp_cli.recipe.source import NOTHING, Source, parse_value, read_source
from rlsp_cli.share import share

Check = Callable[[Recipe], Sequence[Issue]]
ResolveOptions = Callable[[str, str, dict[str, Any], Sequence[str]], dict[str, Any]]
"""`rewards.registry.resolve_options`: kind, reference, options and plugin files to all options, or OptionsError."""
SectionModel = TypeVar("SectionModel", bound=Section)

_UNION_BRANCHES = ("number", "schedule", "policy_word", "policy_penalty")
"""Pydantic names the branch of a union in an error's location; a person does not."""


def find_recipe(name: str) -> Path:
    """A recipe file as given, or the shipped recipe of this name; RecipeError when there is neither."""
    path, shipped = Path(name), share("recipes") / f"{name}.yaml"
    if path.is_file() or not shipped.is_file():
        if not path.exists() and path.suffix not in (".yaml", ".yml"):
            raise RecipeError(f"{name}: no such file or shipped recipe - {did_you_mean(name, shipped_recipes())}")
        return path
    return shipped


def shipped_recipes() -> dict[str, Path]:
    """The ready recipes by name."""
    root = share("recipes")
    return {str(path.relative_to(root).with_suffix("")): path for path in sorted(root.rglob("*.yaml"))}


def load_recipe(
    path: Path, overrides: Sequence[str] = (), *, plugins: ResolveOptions | None = None, check: Check | None = None
) -> Recipe:
    """Load a recipe file with `key.path=value` overrides; RecipeError lists every problem, one a line.

    `check` may find more problems in a valid recipe, such as what a backend cannot do.
    """
    source = _with_parents(path.absolute(), ())
    for number, override in enumerate(overrides, 1):
        _override(source, override, number)
    return _resolve(source, str(path), plugins, check)


def read_section(path: Path, model: type[SectionModel]) -> SectionModel:
    """A file that holds one section, such as a bench; RecipeError lists every problem with its place, one a line."""
    source = read_source(path.absolute())
    anchor(source.data, path.absolute().parent)
    try:
        return model.model_validate(source.data)
    except ValidationError as error:
        problems = [_as_problem(dict(detail), model) for detail in error.errors()]
    raise RecipeError("\n".join(_lines(problems, source.origins, str(path))))


def resolve_recipe(
    data: dict[str, Any], overrides: Sequence[str] = (), *, plugins: ResolveOptions | None = None
) -> Recipe:
    """A recipe from plain data instead of a file."""
    source = Source(data)
    for number, override in enumerate(overrides, 1):
        _override(source, override, number)
    return _resolve(source, "recipe", plugins, None)


def _resolve(source: Source, name: str, plugins: ResolveOptions | None, check: Check | None) -> Recipe:
    problems = _interpolate(source)
    if problems:  # what follows would only complain of the unresolved text
        raise RecipeError("\n".join(_lines(problems, source.origins, name)))
    if plugins is not None:
        problems += _resolve_plugins(source.data, plugins)
    recipe = None
    try:
        recipe = Recipe.model_validate(source.data)
    except ValidationError as error:
        problems += [_as_problem(dict(detail), Recipe) for detail in error.errors()]
    if recipe is not None:
        recipe = recipe.with_origins(source.origins)
        problems += check(recipe) if check and not problems else []
    if problems or recipe is None:
        raise RecipeError("\n".join(_lines(problems, source.origins, name)))
    return recipe


def _with_parents(path: Path, chain: tuple[Path, ...]) -> Source:
    """A file merged over the recipes that it extends; later ones win."""
    own = read_source(path)
    anchor(own.data, path.parent)
    parents = _extended(own)
    if path in chain:
        cycle = " -> ".join(str(p) for p in (*chain, path))
        raise RecipeError(f"{own.origins.get('extends', path)}: extends goes in a circle: {cycle}")
    merged = Source({})
    for parent in parents:
        found = Path(parent) if Path(parent).is_absolute() else path.parent / parent
        if not found.is_file():
            shipped = shipped_recipes().get(str(parent))
            if shipped is None:
                raise RecipeError(f"{own.origins['extends']}: extends {parent!r}: no such file or shipped recipe")
            found = shipped
        _merge(merged, _with_parents(found.resolve(), (*chain, path)))
    _merge(merged, own)
    return merged


def _extended(own: Source) -> list[str]:
    """What the file extends, in its order."""
    value = own.data.pop("extends", [])
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) for name in names):
        place = own.origins["extends"]
        raise RecipeError(f"{place}: extends: expected the name of a recipe or a list of names, found {value!r:.60}")
    return names


def _merge(base: Source, over: Source) -> None:
    """Merge mappings key by key; everything else is replaced, and so is a plugin with another `use`."""
    merged = _merged(base.data, over.data)
    replaced = {path for path, _ in _leaves(base.data)} - {path for path, _ in _leaves(merged)}
    kept = {path: origin for path, origin in base.origins.items() if path not in replaced}
    base.data, base.origins = merged, kept | over.origins


def _merged(base: Any, over: Any) -> Any:
    other_plugin = (
        isinstance(over, dict) and isinstance(base, dict) and over.get("use", base.get("use")) != base.get("use")
    )
    if not (isinstance(base, dict) and isinstance(over, dict)) or other_plugin:
        return over
    return {**base, **{key: _merged(base.get(key), value) for key, value in over.items()}}


def _override(source: Source, text: str, number: int) -> None:
    """Set `key.path=value`; list items are named by their number."""
    key, equals, value = text.partition("=")
    origin = Origin(f"override #{number} ({key})", (number, 0, 0))
    if not equals or not key.strip():
        raise RecipeError(f"override #{number}: {text!r} is not key.path=value")
    if not value.strip():
        raise RecipeError(f"{origin}: nothing behind {text!r} - {NOTHING}")
    parts, data = key.strip().split("."), parse_value(value)
    tree: dict[str, Any] = data
    for part in reversed(parts):
        tree = {part: tree}
    anchor(tree, Path.cwd())
    written = {path: origin for path, _ in _leaves(data, key.strip())}
    _merge(source, Source(_into_lists(source.data, tree), {key.strip(): origin, **written}))


def _into_lists(base: Any, tree: Any) -> Any:
    """`{"0": x}` over a list means its item 0; over a single plugin, which stands for a list of one, that plugin."""
    if isinstance(base, dict) and "use" in base and isinstance(tree, dict) and set(tree) == {"0"}:
        return _into_lists(base, tree["0"])
    if isinstance(base, list) and isinstance(tree, dict) and all(k.isdigit() and int(k) < len(base) for k in tree):
        return [
            _merged(item, _into_lists(item, tree[str(i)])) if str(i) in tree else item for i, item in enumerate(base)
        ]
    if isinstance(base, dict) and isinstance(tree, dict):
        return {key: _into_lists(base.get(key), value) for key, value in tree.items()}
    return tree


def anchor(node: Any, folder: Path, key: str = "") -> None:
    """Make relative paths absolute against the folder of the file that wrote them, in place."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in list(items):
        if isinstance(value, str):
            node[name] = _absolute(value, folder, name if isinstance(name, str) else key)
        else:
            anchor(value, folder, name if isinstance(name, str) else key)


def _absolute(value: str, folder: Path, key: str) -> str:
    is_path = value.startswith(("./", "../", "~/"))
    is_path |= key == "source" and not value.startswith(("hf:", "task:")) and "${" not in value
    is_path |= key in ("path", "data", "responses") and _is_there(folder / value)
    is_path |= key in ("cache", "lexicon", "against")
    if not is_path:
        return value
    expanded = Path(value).expanduser()
    return str((folder / expanded).resolve()) if not expanded.is_absolute() else str(expanded)


def _is_there(path: Path) -> bool:
    """Whether there is something; a text that is too long for a path names nothing."""
    try:
        return path.exists()
    except OSError:
        return False


def _interpolate(source: Source) -> list[Issue]:
    """Replace `${key.path}` by the value at that key, with OmegaConf; in the text of prompts it means nothing."""
    wanted = {path: text for path, text in _leaves(source.data) if isinstance(text, str) and "${" in text}
    prompts = {path: wanted.pop(path) for path in list(wanted) if path in ("data.template", "data.system")}
    if not wanted:
        return []
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    problems = []
    for path in prompts:
        _put(source.data, path, "")
    for path, text in wanted.items():
        try:
            if re.search(
                r"\$\{[^}]*:", text
            ):  # OmegaConf's resolvers would write environment variables into the run folder
                raise OmegaConfBaseException("resolvers such as ${oc.env:NAME} are not allowed")
            _put(source.data, path, OmegaConf.select(OmegaConf.create(source.data), path, throw_on_missing=True))
        except OmegaConfBaseException as error:
            reason = str(error).splitlines()[0]
            problems.append(Issue(path, f"cannot resolve {text!r}: {reason}", "${...} names a key of this recipe"))
    for path, text in prompts.items():
        _put(source.data, path, text)
    return problems


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else None
    if items is None:
        yield prefix, node
        return
    for key, value in items:
        yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))


def _put(data: Any, path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for part in parents:
        data = data[int(part)] if isinstance(data, list) else data[part]
    data[int(last) if isinstance(data, list) else last] = value


def _resolve_plugins(data: dict[str, Any], plugins: ResolveOptions) -> list[Issue]:
    """Fill in the options of every plugin named in raw data; what is malformed is left to the schema."""
    files = data.get("plugins")
    files = [file for file in files if isinstance(file, str)] if isinstance(files, list) else []
    missing = [
        Issue(f"plugins.{i}", f"{file}: no such plugin file")
        for i, file in enumerate(files)
        if not Path(file).is_file()
    ]
    if missing:  # said once, where it is named, and not for each plugin that is looked for in it
        return missing
    problems = []
    for path, kind, holder, name_key in _plugin_uses(data):
        ours = schema.ExplorationUse if kind == "exploration_reward" else schema.PluginUse
        own_keys = {k: v for k, v in holder.items() if k not in ours.model_fields}
        options = holder.get("options", {}) if name_key == "source" else own_keys
        prefix = f"{path}.options" if name_key == "source" else path
        if not isinstance(options, dict):
            continue
        try:
            complete = plugins(kind, str(holder[name_key]).removeprefix("task:"), options, files)
        except OptionsError as error:
            problems += [
                Issue(f"{prefix}.{key}" if key else f"{path}.{name_key}", text) for key, text in error.problems
            ]
        else:
            anchor(complete, Path.cwd())  # a file that a plugin names itself is where rlsp was started, also on resume
            holder.update({"options": complete} if name_key == "source" else complete)
    return problems


def _plugin_uses(data: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any], str]]:
    """(dotted path, kind, mapping that names the plugin, key of the name)."""
    reward = data.setdefault("reward", {})
    if isinstance(reward, dict):
        verifier = reward.setdefault("correctness", {"use": schema.Reward().correctness.use})
        if isinstance(verifier, dict) and "use" in verifier:
            yield "reward.correctness", "verifier", verifier, "use"
        exploration = reward.get("exploration", [])
        for i, use in enumerate(exploration if isinstance(exploration, list) else [exploration]):
            if isinstance(use, dict) and "use" in use:
                path = f"reward.exploration.{i}" if isinstance(exploration, list) else "reward.exploration"
                yield path, "exploration_reward", use, "use"
    rows = data.get("data")
    for role, source in rows.items() if isinstance(rows, dict) else ():
        if isinstance(source, dict) and str(source.get("source", "")).startswith("task:"):
            yield f"data.{role}", "task", source, "source"


def _as_problem(detail: dict[str, Any], model: type[Section]) -> Issue:
    """One of pydantic's errors about a model in our words."""
    whole = "the " + re.sub(r"(?<=[a-z])(?=[A-Z])", " ", model.__name__).lower()
    location = [part for part in detail["loc"] if part not in _UNION_BRANCHES]
    path = ".".join(map(str, location))
    if detail["type"] == "extra_forbidden":
        *parents, key = map(str, location)
        where = ".".join(parents) or whole
        return Issue(path, f'unknown key "{key}" in {where}', _where_it_belongs(parents, key, model))
    if detail["type"] == "missing":
        *parents, key = map(str, location)
        return Issue(".".join(parents), f'"{key}" is missing in {".".join(parents) or whole}')
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] in ("model_type", "dict_type", "model_attributes_type"):
        message = "expected a mapping"
    if detail["type"] == "tuple_type":
        message = "expected a list"
    found = detail["input"]
    if isinstance(found, dict | list):
        shown = "a mapping" if isinstance(found, dict) else "a list"
        quote = "a text with a colon or braces stands in quotes" if detail["type"] == "string_type" else None
        return Issue(path, message if detail["type"] == "value_error" else f"{path}: {message}, found {shown}", quote)
    hint = None
    if detail["type"] == "literal_error" and isinstance(found, str):
        hint = did_you_mean(
            found, [word.strip("' ") for word in detail["ctx"]["expected"].replace(" or ", ",").split(",")]
        )
    return Issue(path, f"{path}: {message[0].lower()}{message[1:]}, found {found!r}", hint)


def _where_it_belongs(parents: Sequence[str], key: str, whole: type[Section]) -> str:
    """A hint for a key that a section does not have: it is one of a section inside, or a misspelling."""
    section = _section(parents, whole)
    for name, field in section.model_fields.items():
        if any(key in inner.model_fields for inner in _models(field.annotation)):
            return f"it belongs in {'.'.join([*parents, name])}"

    return did_you_mean(key, [*section.model_fields, *(["extends"] if section is Recipe else [])])


def _section(parents: Sequence[str], whole: type[Section]) -> Any:
    """The model of the section at a path inside another one."""
    model: Any = whole
    for part in parents:
        if part not in model.model_fields:  # the place in a list, or the key of a mapping
            continue
        annotation = model.model_fields[part].annotation
        model = next(iter(_models(annotation)), Section)
    return model


def _models(annotation: Any) -> Iterator[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _models(part)


def _lines(problems: Sequence[Issue], origins: dict[str, Origin], name: str) -> list[str]:
    """Problems with their places, in the order in which they stand in the file, each once."""
    placed = {(nearest_origin(problem.path, origins) or Origin(name), str(problem)) for problem in problems}
    return [f"{origin}: {text}" for origin, text in sorted(placed, key=lambda p: (p[0].order, p[1]))]
