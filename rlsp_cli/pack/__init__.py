"""Archives of runs: pack one, say what differs on another machine, unpack it to run it again."""

from rlsp_cli.pack.archive import Archive, open_archive, write_archive
from rlsp_cli.pack.contents import Contents, contents_of
from rlsp_cli.pack.differences import Difference, differences
from rlsp_cli.pack.recipe import local_recipe, powers

__all__ = [
    "Archive",
    "Contents",
    "Difference",
    "contents_of",
    "differences",
    "local_recipe",
    "open_archive",
    "powers",
    "write_archive",
]
