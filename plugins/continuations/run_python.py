"""Run the program with which the model ends its turn, and say what it writes."""

from rlsp_cli.rewards import Sample, continuation
from rlsp_cli.rewards.fences import fenced_blocks
from rlsp_cli.rewards.sandbox import Limits, program_output

_NO_END = "TimeoutError: the program did not end in time, or wrote too much"


@continuation
def run_python(
    sample: Sample,
    *,
    result: str = "```output\n{}\n```\n",
    seconds: float = 2.0,
    memory_mb: int = 512,
    characters: int = 1000,
) -> str | None:
    """The output of the Python program in the last code block, at the end of the model's turn.

    The program runs in the sandbox, without files, network or input. Its output, of which at most
    so many `characters` are kept, goes into `result` in place of `{}`; an error that ends it is its
    last line. A turn without a program at its end ends the response. After CoSC (2410.10735) and
    Tool-Star (2505.16410).
    """
    assert sample.turns is not None, "a continuation is asked about turns"
    words = sample.turns.said[-1].text.rstrip()
    blocks = fenced_blocks(words)
    if not blocks or blocks[-1].language not in ("", "python", "py") or not words.endswith("```"):
        return None

    written = program_output(blocks[-1].code, Limits(seconds, memory_mb))
    output = _NO_END if written is None else written.rstrip()
    if len(output) > characters:
        output = f"{output[:characters]}\n[{len(output) - characters} more characters]"
    # A fence in the output would end its block, and a program could pass its words off as others.
    return result.replace("{}", output.replace("```", "'''"))
