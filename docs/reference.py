"""Writes docs/recipe.md from the schema: `make docs`. A test notices when the page is out of date."""

from typing import Any

from rlsp_cli.recipe.schema import Recipe

HEAD = """\
# Recipe reference

Written from the schema by `make docs`; `rlsp schema` prints the same for editors. `extends:` names recipes to build on
(a path, or a shipped recipe's name). Every key can be overridden on the command line as `key.path=value`.
"""


def page() -> str:
    """The whole page."""
    schema = Recipe.model_json_schema()
    sections = [("Recipe", schema), *sorted(schema["$defs"].items())]
    return HEAD + "".join(_section(name, definition) for name, definition in sections)


def _section(name: str, definition: dict[str, Any]) -> str:
    rows = []
    for key, field in definition.get("properties", {}).items():
        meaning = " ".join(field["description"].split())  # a row of a table is one line
        rows.append(f"| `{key}` | {_type(field)} | {_default(field)} | {meaning} |")
    head = f"\n## {name}\n\n{definition.get('description', '').splitlines()[0]}\n\n"
    return head + "| key | type | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return f"[{(name := field['$ref'].rpartition('/')[2])}](#{name.lower()})"
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if "anyOf" in field or "oneOf" in field:
        return " or ".join(
            _type(part)
            for part in field.get("anyOf", field.get("oneOf"))
            if part.get("type") != "null"
        )
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}" if "items" in field else "list"
    return str(field.get("type", "any"))


def _default(field: dict[str, Any]) -> str:
    value = field.get("default", "")
    return "" if value in ("", None) or isinstance(value, dict) else f"`{value}`"


if __name__ == "__main__":
    print(page(), end="")
