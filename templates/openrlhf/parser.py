"""Ask OpenRLHF's own PPO parser: which options it has, or what it makes of a command. Imports neither torch nor Ray.

    python parser.py PACKAGE ANSWER.json              the options
    python parser.py PACKAGE ANSWER.json COMMAND.json what a list of words is read as, or what is
    wrong with it

PACKAGE is OpenRLHF's folder, or `-` for the one of this interpreter. Its command keeps parser and
checks under `if __name__ == "__main__"`; that block is read and run here, with the training taken
out.
"""

import argparse
import ast
import contextlib
import importlib.util
import io
import json
import sys
import types
from datetime import datetime
from pathlib import Path

COMMAND = Path("cli") / "train_ppo_ray.py"


class _DoneError(Exception):
    """Carries what the block has come to."""


def package_folder(word):
    """The folder that the word stands for."""
    if word != "-":
        return Path(word)
    spec = importlib.util.find_spec("openrlhf")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("openrlhf is not installed here")
    return Path(spec.submodule_search_locations[0])


def run_block(package, train):
    """Run the command's main block with `train` in place of the training."""
    _stand_in(package)
    body = ast.parse((package / COMMAND).read_text(encoding="utf-8")).body
    block = next(
        node for node in body if isinstance(node, ast.If) and "__main__" in ast.dump(node.test)
    ).body
    names = {
        "__name__": "openrlhf_command",
        "argparse": argparse,
        "datetime": datetime,
        "train": train,
    }
    exec(compile(ast.Module(block, []), str(package / COMMAND), "exec"), names)  # noqa: S102 (OpenRLHF's own code)


def _stand_in(package):
    """Of the package, only the one module that the block uses; the package itself would import torch."""
    for name in ("openrlhf", "openrlhf.utils"):
        sys.modules[name] = types.ModuleType(name)
    path = package / "utils" / "config.py"
    if path.exists():
        spec = importlib.util.spec_from_file_location("openrlhf.utils.config", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules["openrlhf.utils.config"] = module


def options(package):
    """Every option: its type, how many words it takes, its choices, and whether it is a switch."""

    def stop(parser, *_, **__):
        raise _DoneError(parser._actions)

    before, argparse.ArgumentParser.parse_args = argparse.ArgumentParser.parse_args, stop
    try:
        run_block(package, None)
    except _DoneError as done:
        return {a.option_strings[0][2:]: _describe(a) for a in done.args[0] if a.dest != "help"}
    finally:
        argparse.ArgumentParser.parse_args = before


def _describe(action):
    entry = (
        {"switch": True} if action.nargs == 0 else {"type": getattr(action.type, "__name__", "str")}
    )
    if action.nargs:
        entry["words"] = action.nargs
    return {**entry, "choices": list(action.choices)} if action.choices else entry


def read(package, words):
    """What OpenRLHF reads the words as: {"values": ...}, or {"error": one line}."""
    sys.argv = ["train_ppo_ray", *words]
    before = argparse.ArgumentParser.__init__
    argparse.ArgumentParser.__init__ = lambda self, *a, **k: before(
        self, *a, **{**k, "allow_abbrev": False}
    )
    said, found = io.StringIO(), []
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            run_block(package, found.append)
    except SystemExit:
        return {"error": said.getvalue().strip().splitlines()[-1].partition("error: ")[2]}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    warnings = [line for line in said.getvalue().splitlines() if line.strip()]
    return {"values": _plain(found[0]), "warnings": warnings}


def _plain(args):
    found = {}
    for key, value in vars(args).items():
        inner = _plain(value) if hasattr(value, "__dict__") else None
        found.update(
            {f"{key}.{k}": v for k, v in inner.items()} if inner is not None else {key: value}
        )
    return found


def main(package, answer, command=None):
    """Write the answer as JSON."""
    folder = package_folder(package)
    words = None if command is None else json.loads(Path(command).read_text(encoding="utf-8"))
    found = options(folder) if words is None else read(folder, words)
    Path(answer).write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
