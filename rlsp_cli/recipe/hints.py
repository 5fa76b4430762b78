"""Hints for problems that the policy cannot solve."""

from collections.abc import Mapping
from typing import Any

from pydantic import field_validator

from rlsp_cli.recipe.section import Section


class Hints(Section):
    """Where no response to a problem is right, it is answered again with a hint (Guide, 2506.13923)."""

    column: str = "hint"
    """Column of the hints; a problem without one is not answered again."""
    template: str = "{problem}\n\nHint: {hint}"
    """The problem with its hint."""

    def shown(self, problem: str, columns: Mapping[str, Any]) -> str | None:
        """A problem with the hint among its other columns; None without one."""
        hint = columns.get(self.column)
        if not hint:
            return None
        return self.template.replace("{problem}", problem).replace("{hint}", str(hint))

    @field_validator("template")
    @classmethod
    def _has_both(cls, template: str) -> str:
        if "{problem}" not in template or "{hint}" not in template:
            raise ValueError("it needs {problem} and {hint}")
        return template
