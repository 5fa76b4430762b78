"""What it takes to reproduce the numbers of a run: versions, seeds, hashes, git state, machine."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from rlsp_cli import __version__
from rlsp_cli.data import source_digest
from rlsp_cli.recipe.rows import Rows
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.search import SearchUse
from rlsp_cli.rewards.lexicon import load_lexicon
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.sandbox import sandbox_words
from rlsp_cli.runs.clock import now

_PACKAGES = ("torch", "transformers", "tokenizers", "math-verify", "numpy", "omegaconf", "pydantic")
_GPUS = Path("/proc/driver/nvidia/gpus")


def manifest(recipe: Recipe, run_id: str) -> dict[str, Any]:
    """The document manifest.json."""
    # Run folders are shared: nothing secret, so no environment variables and no command lines.
    return {
        "schema": "rlsp.manifest/1",
        "id": run_id,
        "name": recipe.name,
        "recipe_digest": recipe.digest,
        "created": now(),
        "versions": versions(),
        "seed": recipe.seed,
        "git": _git(),
        "plugins": _plugins(recipe),
        "lexicon": load_lexicon(recipe.reward.lexicon).digest,
        "data": _data(recipe),
        "machine": machine(),
    }


def machine() -> dict[str, Any]:
    """What this machine is, as far as numbers may depend on it."""
    return {
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "gpus": _gpus(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "sandbox": sandbox_words(),
    }


def versions() -> dict[str, str]:
    """The versions of rlsp, Python and the packages that numbers may depend on."""
    found = {"rlsp": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _gpus() -> list[str]:
    """Names of NVIDIA's GPUs, from their driver; nothing is started."""
    found = []
    for file in sorted(_GPUS.glob("*/information")):
        for line in file.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key == "Model":
                found.append(value.strip())
    return found


def _git() -> dict[str, Any] | None:
    """The commit of the working directory's repository, and how many files differ from it.

    None outside of a repository, and without git.
    """
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changes = subprocess.run(
            ["git", "status", "--porcelain"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "changed_files": len(changes.splitlines())}


def _plugins(recipe: Recipe) -> list[dict[str, str]]:
    uses = [("verifier", recipe.reward.correctness.use)]
    uses += [(use.kind, use.use) for use in recipe.reward.exploration]
    selecting = (part.select for part in (recipe.ppo, recipe.rounds) if part is not None)
    uses += [("selector", select.use) for select in selecting if select is not None]
    if recipe.continuation is not None:
        uses.append(("continuation", recipe.continuation.use))
    if recipe.eval is not None:
        uses += [("row_shape", probe.use) for probe in recipe.eval.probes]
    for searching in (recipe.eval, recipe.rounds):
        uses += _searched(searching.search if searching else None)
    for _, rows in _sources(recipe):
        if rows.is_task:
            uses.append(("task", rows.source.removeprefix("task:")))
        if rows.row:
            uses.append(("row_shape", rows.row.use))

    # A digest of the code, because a plugin may change between two runs under the same name.
    found = []
    for kind, name in dict.fromkeys(uses):
        plugin = get_plugin(kind, name, recipe.plugins)
        found.append({"kind": kind, "name": name, "origin": plugin.origin, "digest": plugin.digest})
    return found


def _searched(search: SearchUse | None) -> list[tuple[str, str]]:
    if search is None:
        return []
    scorer = search.scorer
    return [("search", search.use), *([("step_scorer", scorer.use)] if scorer else [])]


def _data(recipe: Recipe) -> list[dict[str, Any]]:
    found = []
    for role, rows in _sources(recipe):
        digest = source_digest(rows.source)
        found.append({"role": role, "source": rows.source, "rows": rows.rows, "digest": digest})
    return found


def _sources(recipe: Recipe) -> list[tuple[str, Rows]]:
    """The data that a recipe names, each with its role."""
    return [
        (role, rows)
        for role in ("traces", "steps", "pairs", "prompts", "heldout")
        for rows in recipe.data.sources(role).values()
    ]
