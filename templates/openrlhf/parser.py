"""Ask OpenRLHF's own PPO parser: which options it has, or what it makes of a command.

    python parser.py PACKAGE ANSWER.json                the options
    python parser.py PACKAGE ANSWER.json COMMAND.json   how words are read, or what is wrong

PACKAGE is OpenRLHF's folder, or `-` for the one of this interpreter. Its command keeps parser and
checks under `if __name__ == "__main__"`; that block is read and run here, with the training taken
out. That takes a tenth of a second, because neither torch nor Ray is imported.
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
    """Carries a result out of the block."""


def package_folder(word):
    """The folder that PACKAGE stands for."""
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
    conditions = (node for node in body if isinstance(node, ast.If))
    block = next(node.body for node in conditions if "__main__" in ast.dump(node.test))

    # What the file imports above the block, but for torch and Ray.
    names = {
        "__name__": "openrlhf_command",
        "argparse": argparse,
        "datetime": datetime,
        "train": train,
    }
    exec(compile(ast.Module(block, []), str(package / COMMAND), "exec"), names)  # noqa: S102 (OpenRLHF's own code)


def _stand_in(package):
    """Load the one module that the block uses; the package itself would import torch."""
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
        actions = [action for action in done.args[0] if action.dest != "help"]
        return {
            action.option_strings[0].removeprefix("--"): _describe(action) for action in actions
        }
    finally:
        argparse.ArgumentParser.parse_args = before


def _describe(action):
    kind = getattr(action.type, "__name__", "str")
    entry = {"switch": True} if action.nargs == 0 else {"type": kind}
    if action.nargs:
        entry["words"] = action.nargs
    if action.choices:
        entry["choices"] = list(action.choices)
    return entry


def read(package, words):
    """How OpenRLHF reads the words: {"values": ..., "warnings": ...}, or {"error": one line}."""
    sys.argv = ["train_ppo_ray", *words]
    _demand_exact_options()

    output, found = io.StringIO(), []
    try:
        with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):
            run_block(package, found.append)
    except SystemExit:  # argparse has printed what is wrong
        last = output.getvalue().strip().splitlines()[-1]
        return {"error": last.partition("error: ")[2]}
    except Exception as error:  # one of the checks behind the parser, which are assertions
        return {"error": f"{type(error).__name__}: {error}"}

    warnings = [line for line in output.getvalue().splitlines() if line.strip()]
    return {"values": _plain(found[0]), "warnings": warnings}


def _demand_exact_options():
    """Let argparse refuse abbreviations: a misspelt option would be taken for another one."""
    before = argparse.ArgumentParser.__init__

    def init(self, *args, **kwargs):
        before(self, *args, **{**kwargs, "allow_abbrev": False})

    argparse.ArgumentParser.__init__ = init


def _plain(args):
    """Nested namespaces as {dotted key: value}."""
    found = {}
    for key, value in vars(args).items():
        if hasattr(value, "__dict__"):
            for inner, one in _plain(value).items():
                found[f"{key}.{inner}"] = one
        else:
            found[key] = value
    return found


def main(package, answer, command=None):
    """Write the answer as JSON."""
    folder = package_folder(package)
    words = None if command is None else json.loads(Path(command).read_text(encoding="utf-8"))
    found = options(folder) if words is None else read(folder, words)
    Path(answer).write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
