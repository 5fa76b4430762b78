"""What it takes to reproduce the numbers of a run: versions, seeds, hashes, git state, machine."""

import importlib.metadata
import os
import platform
import subprocess
from typing import Any

from rlsp_cli import __version__
from rlsp_cli.data import source_digest
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.lexicon import load_lexicon
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.sandbox import sandbox_words
from rlsp_cli.runs.clock import now

_PACKAGES = ("torch", "transformers", "tokenizers", "math-verify", "numpy", "omegaconf", "pydantic")


def manifest(recipe: Recipe, run_id: str) -> dict[str, Any]:
    """The document manifest.json, without anything secret: no environment variables, no command lines."""
    return {
        "schema": "rlsp.manifest/1",
        "id": run_id,
        "name": recipe.name,
        "recipe_digest": recipe.digest,
        "created": now(),
        "versions": {"rlsp": __version__, "python": platform.python_version(), **_versions()},
        "seed": recipe.seed,
        "git": _git(),
        "plugins": _plugins(recipe),
        "lexicon": load_lexicon(recipe.reward.lexicon).digest,
        "data": _data(recipe),
        "machine": {
            "system": platform.platform(),
            "cpus": os.cpu_count(),
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "sandbox": sandbox_words(),
        },
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _git() -> dict[str, Any] | None:
    """Commit and whether files differ from it, of the working directory's repository; None outside of one."""
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
    uses += [("exploration_reward", use.use) for use in recipe.reward.exploration]
    uses += [
        ("task", rows.source.removeprefix("task:")) for _, rows in _rows(recipe) if rows.is_task
    ]
    found = {}
    for kind, name in uses:
        plugin = get_plugin(kind, name, recipe.plugins)
        found[kind, name] = {
            "kind": kind,
            "name": name,
            "origin": plugin.origin,
            "digest": plugin.digest,
        }
    return list(found.values())


def _data(recipe: Recipe) -> list[dict[str, Any]]:
    return [
        {
            "role": role,
            "source": rows.source,
            "rows": rows.rows,
            "digest": source_digest(rows.source),
        }
        for role, rows in _rows(recipe)
    ]


def _rows(recipe: Recipe) -> list[tuple[str, Any]]:
    roles = {
        "traces": recipe.data.traces,
        "prompts": recipe.data.prompts,
        "heldout": recipe.data.heldout,
    }
    return [(role, rows) for role, rows in roles.items() if rows is not None]
