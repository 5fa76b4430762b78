"""Lead the model to a solution by requests that follow one another."""

from rlsp_cli.rewards import Sample, continuation

STRUCTURE = """\
Turn this into the structure of a solution of the problem: numbered steps that say what is to be \
found in each, without results."""
SOLUTION = """\
Follow the structure and solve the problem step by step. State your answer at the end."""


@continuation
def guideline_chain(
    sample: Sample, *, requests: tuple[str, ...] = (STRUCTURE, SOLUTION)
) -> str | None:
    """One of the `requests` after each turn, in their order.

    Let the prompt ask the model to adapt a general guideline to the problem, and the requests lead
    from there to a structure and a solution: the chain of ReGenesis (2410.02108). The words are
    ours.
    """
    assert sample.turns is not None, "a continuation is asked about turns"
    said = len(sample.turns.foreign)
    return requests[said] if said < len(requests) else None
