"""Graders for graders_of_harnesses.py, in their own interpreter: peer_graders.py lm_eval|qwen RESPONSES [FOLDER].

Prints a JSON line for each response: grader -> true, false, or why there is no verdict. A process
that can be killed judges, because no deadline of these graders ends sympy's arithmetic: `timeout`
is after the 3 s that Qwen2.5-Math's evaluate.py allows, and after 20 s for lm-eval, which has
deadlines of 5 s within.
"""

import importlib
import json
import logging
import multiprocessing
import resource
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Judge = Callable[[Row], dict[str, bool]]
MEMORY = 8 * 2**30


def lm_eval(_: str) -> dict[str, Judge]:
    """The `process_results` of its tasks, on the documents that the tasks make: metric by metric."""

    def of(task: str) -> Judge:
        utils = importlib.import_module(f"lm_eval.tasks.{task}.utils")
        normal = getattr(utils, "normalize_final_answer", str)

        def judge(row: Row) -> dict[str, bool]:
            solution = row.get("solution") or f"\\boxed{{{row['reference']}}}"
            doc = {"solution": solution, "answer": normal(row["reference"])}
            metrics = utils.process_results(doc, [row["response"]])
            return {f"{task} {metric}": bool(value) for metric, value in metrics.items()}

        return judge

    return {task: of(task) for task in ("aime", "hendrycks_math", "minerva_math")}


def qwen(folder: str) -> dict[str, Judge]:
    """What its evaluate.py does for the data set `math`."""
    sys.path.insert(0, folder)
    parser, grader = importlib.import_module("parser"), importlib.import_module("grader")

    def judge(row: Row) -> dict[str, bool]:
        answer = parser.strip_string(parser.extract_answer(row["response"], "math"))
        reference = parser.strip_string(
            parser.strip_string(row["reference"])
        )  # it does so with both sides
        return {"Qwen2.5-Math": bool(grader.math_equal_process((0, answer, reference)))}

    return {"math": judge}


HARNESSES = {"lm_eval": (lm_eval, 20.0), "qwen": (qwen, 3.0)}


def work(judges: Mapping[str, Judge], pipe: Connection) -> None:
    """Judge what comes through the pipe, until it is killed."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    while True:
        task, row = pipe.recv()
        try:
            pipe.send(judges[task](row))
        except Exception as error:  # noqa: BLE001 - a grader that fails has no verdict
            pipe.send(type(error).__name__)


class Worker:
    """A process that judges, replaced when it is late or dies."""

    def __init__(self, judges: Mapping[str, Judge], deadline_s: float) -> None:
        self.judges, self.deadline_s = judges, deadline_s
        self._start()

    def _start(self) -> None:
        fork = multiprocessing.get_context("fork")
        self.pipe, end = fork.Pipe()
        self.process = fork.Process(target=work, args=(self.judges, end), daemon=True)
        self.process.start()
        end.close()

    def ask(self, task: str, row: Row) -> dict[str, bool] | str:
        self.pipe.send((task, row))
        try:
            if self.pipe.poll(self.deadline_s):
                found: dict[str, bool] | str = self.pipe.recv()
                return found
            failure = "timeout"
        except EOFError:
            failure = "crash"
        self.process.kill()
        self.process.join()
        self._start()
        return failure


def main(harness: str, file: str, folder: str = "") -> None:
    logging.disable()
    make, deadline_s = HARNESSES[harness]
    judges = make(folder)
    example = {"reference": "\\frac{1}{2}", "response": "The answer is $\\boxed{0.5}$."}
    names = {
        task: tuple(judge(example)) for task, judge in judges.items()
    }  # also imports, before the clock
    worker = Worker(judges, deadline_s)
    for row in json.loads(Path(file).read_text()):
        found: dict[str, bool | str] = {}
        for task in judges:
            said = worker.ask(task, row)
            found |= dict.fromkeys(names[task], said) if isinstance(said, str) else said
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
