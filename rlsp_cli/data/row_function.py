"""Row functions: plugins that make one row, or several, of a row of a source."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlsp_cli.data.row import Row
from rlsp_cli.errors import DataError, RlspError
from rlsp_cli.recipe.rows import RowUse
from rlsp_cli.rewards.registry import get_plugin


@dataclass(frozen=True)
class RowFunction:
    """A row function with its options; `id` is the column of ids, before and after it."""

    name: str
    function: Callable[..., Any]
    options: Mapping[str, Any]
    id: str

    @classmethod
    def of(cls, use: RowUse, id: str, files: Sequence[str] = ()) -> "RowFunction":
        """The function that a recipe or a bench names; `files` are the recipe's plugin files."""
        plugin = get_plugin("row_shape", use.use, files)
        options = plugin.options.model_validate(use.options).model_dump()
        return cls(use.use, plugin.function, options, id)

    def over(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows that it makes of a source's rows; DataError as `rows_of`."""
        for number, row in enumerate(rows):
            yield from self.rows_of(row, number)

    def rows_of(self, row: Row, number: int) -> list[Row]:
        """What it makes of one row, which has this number in its source.

        A single row keeps the id, unless the function gives another. A list of rows gets the ids
        `ID/0`, `ID/1` and so on, and ID as the parent. DataError if the function raises, or returns
        anything but rows; an error of rlsp, such as that of a handbook, stays as it is.
        """
        made = self._call(row)
        id = str(row.columns.get(self.id, number))
        if isinstance(made, dict):
            return [Row(row.place, {self.id: id, **made})]

        # Over an id that the function copied from its row: all rows of a list would share it.
        return [
            Row(f"{row.place} part {part}", {**columns, self.id: f"{id}/{part}"}, parent=id)
            for part, columns in enumerate(made)
        ]

    def _call(self, row: Row) -> dict[str, Any] | list[dict[str, Any]]:
        # A plugin is the user's code on a user's row, and may raise anything.
        try:
            made = self.function(dict(row.columns), **self.options)
        except RlspError:
            raise  # about a file or a package that the function needs, and not about the row
        except Exception as error:
            raise DataError(
                f"{row.place}: {self.name} makes no row of this row: "
                f"{type(error).__name__}: {error}; columns: {row.names}"
            ) from error

        if not made:
            raise DataError(
                f"{row.place}: {self.name} returned nothing ({made!r}) for this row; "
                "let it return a dict or a list of dicts, or take the row out of the source"
            )
        several = made if isinstance(made, list) else [made]
        for one in several:
            if not isinstance(one, dict) or not one:
                raise DataError(
                    f"{row.place}: {self.name} returned {one!r} for this row; "
                    "expected a dict with columns, or a list of such dicts"
                )
        return made  # type: ignore[no-any-return]
