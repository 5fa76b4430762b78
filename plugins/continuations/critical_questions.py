"""Have the model answer critical questions about its draft before it answers the problem."""

import re

from rlsp_cli.rewards import Sample, continuation, without_thinking

QUESTIONS = (
    "Does the reasoning start from what the problem states?",
    "Is each thing that it takes as given stated by the problem, or known to be true?",
    "Does each step follow from what stands before it?",
    "Is the rule behind each step one that holds here?",
    "Is there reason to trust these rules beyond this problem?",
    "Does it say under which conditions its steps hold, where they do not always?",
    "Does it stand against the objections that could be made?",
    "Does the conclusion follow from all of it, without contradicting any part?",
)
ASK = """\
Answer these questions about what you wrote, each on a line of its own as `number: yes` or \
`number: no`, and nothing else.
{questions}"""
REDO = (
    "Not enough of the answers are yes. Write it anew, and mend what the answers with no are about."
)
FINAL = "Go by what you wrote, and give the final answer of the problem."

_ANSWER = re.compile(r"^\W*(\d+)\W+(yes|no)\b", re.IGNORECASE | re.MULTILINE)


@continuation
def critical_questions(
    sample: Sample,
    *,
    questions: tuple[str, ...] = QUESTIONS,
    least: int = 7,
    rounds: int = 1,
    ask: str = ASK,
    redo: str = REDO,
    final: str = FINAL,
) -> str | None:
    """The `questions`; then `final` if `least` of the answers are yes, else `redo` and again.

    After so many `rounds` of writing anew `final` follows whatever the answers are. A question
    without an answer counts as no. After CQoT (2412.15177), with words of ours after Toulmin's
    model of an argument; it asks about a plan, which the prompt has to ask for.
    """
    assert sample.turns is not None, "a continuation is asked about turns"
    numbered = "\n".join(f"{number}. {asked}" for number, asked in enumerate(questions, 1))
    listed = ask.replace("{questions}", numbered)
    said = sample.turns.foreign
    if not said or said[-1] == redo:
        return listed
    if said[-1] == final:
        return None

    answers = dict(_ANSWER.findall(without_thinking(sample.turns.own[-1])))
    agreed = sum(
        answers.get(str(number), "").lower() == "yes" for number in range(1, len(questions) + 1)
    )
    return final if agreed >= least or said.count(redo) == rounds else redo
