"""The first example of each training stage, as its backend will see it: decoded, with what is learned told apart."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from transformers import PreTrainedTokenizerBase

from rlsp_cli.backends.context_length import context_length
from rlsp_cli.backends.local.models import first_tokenizer
from rlsp_cli.data import (
    preference_rows,
    recipe_problems,
    recipe_traces,
    step_rows,
    training_rows,
)
from rlsp_cli.engine.ending import stated_ends
from rlsp_cli.engine.lesson import closed_traces, encode_lessons, is_closed, lessons
from rlsp_cli.engine.pair_examples import encode_pairs, has_ends, pair_lessons
from rlsp_cli.engine.prompt import encode_start, fitting, prompt_text
from rlsp_cli.engine.step_examples import StepExample, encode_steps
from rlsp_cli.errors import DataError
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.thinking import opened


@dataclass(frozen=True)
class Part:
    """Token ids that are learned, or that are not, and their text."""

    learned: bool
    tokens: Sequence[int]
    text: str


@dataclass(frozen=True)
class Example:
    """The first of `rows` examples of a stage; `remarks` say what its tokens do not show."""

    stage: str
    backend: str
    rows: int
    parts: Sequence[Part]
    remarks: Sequence[str]

    def to_text(self) -> str:
        r"""A line for each line of the example, `+` before what is learned; line breaks are shown as `\n`."""
        sums: dict[bool, int] = {}
        for part in self.parts:
            sums[part.learned] = sums.get(part.learned, 0) + len(part.tokens)
        counts = ", ".join(
            f"{tokens} tokens{'' if learned else ' not'} learned"
            for learned, tokens in sums.items()
        )
        head = f"{self.stage} on {self.backend}, the first of {self.rows}: {counts}"
        return "\n".join([head, *self._lines(), *(f"  {remark}" for remark in self.remarks)])

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def _lines(self) -> Iterator[str]:
        for part in self.parts:
            for line in part.text.splitlines(keepends=True):
                yield f"  {'+' if part.learned else ' '} | " + line.replace("\n", "\\n")


def first_examples(recipe: Recipe) -> list[Example]:
    """The first demonstration of SFT and the first prompt of PPO, where the recipe has these stages.

    Loads a tokenizer and no model. DataError for rows that training would refuse.
    """
    tokenizer = first_tokenizer(recipe)
    of_kinds = {"sft": _of_sft, "prm": _of_prm, "dpo": _of_dpo}
    of_stages = {"sft": of_kinds[recipe.sft.kind] if recipe.sft else _of_sft, "ppo": _of_ppo}
    return [of(recipe, tokenizer) for stage, of in of_stages.items() if getattr(recipe, stage)]


def _of_sft(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> Example:
    assert recipe.sft and recipe.data.traces, "checked by the recipe"
    traces = recipe_traces(recipe)
    rows, _ = training_rows(sum(1 for _ in closed_traces(traces)), recipe.sft.val_rows)

    training = islice(filter(is_closed, traces), len(rows))
    for lesson in lessons(training, recipe.data, tokenizer):
        ((prompt, response),) = encode_lessons([lesson], tokenizer)
        if len(prompt) + len(response) <= recipe.sft.max_length:
            parts = [_part(False, prompt, tokenizer), _part(True, response, tokenizer)]
            return Example("sft", recipe.sft.backend, len(rows), parts, ())
    raise DataError(
        f"data.traces: every example is longer than sft.max_length ({recipe.sft.max_length} tokens)"
    )


def _of_prm(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> Example:
    assert recipe.sft and recipe.data.steps, "checked by the recipe"
    rows = step_rows(recipe.data.steps, recipe.plugins)
    training, _ = training_rows(len(rows), recipe.sft.val_rows, "responses")

    for row in islice(rows, len(training)):
        (example,) = encode_steps([row], recipe.data.steps.separator, tokenizer)
        if example.labels and len(example.tokens) <= recipe.sft.max_length:
            labels = ", ".join(f"{label:g}" for label in example.labels)
            remarks = [f"what is learned of the tokens marked by +: {labels} (1 is right)"]
            parts = list(_cut(example, tokenizer))
            return Example("sft", recipe.sft.backend, len(training), parts, remarks)
    limit = recipe.sft.max_length
    raise DataError(f"data.steps: no response has a label and at most {limit} tokens")


def _of_dpo(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> Example:
    assert recipe.sft and recipe.data.pairs, "checked by the recipe"
    rows = preference_rows(recipe.data.pairs, recipe.plugins)
    training, _ = training_rows(len(rows), recipe.sft.val_rows, "pairs")

    closed = filter(has_ends, islice(rows, len(training)))
    for lesson in pair_lessons(closed, recipe.data, tokenizer):
        (pair,) = encode_pairs([lesson], tokenizer)
        if pair.length <= recipe.sft.max_length:
            worse = str(tokenizer.decode(pair.rejected.tokens[pair.rejected.start :]))
            remarks = [f"what is to become less likely: {worse!r}"]
            cut = pair.chosen.start
            prompt, chosen = pair.chosen.tokens[:cut], pair.chosen.tokens[cut:]
            parts = [_part(False, prompt, tokenizer), _part(True, chosen, tokenizer)]
            return Example("sft", recipe.sft.backend, len(training), parts, remarks)
    limit = recipe.sft.max_length
    raise DataError(f"data.pairs: no pair has at most {limit} tokens a sequence")


def _cut(example: StepExample, tokenizer: PreTrainedTokenizerBase) -> Iterator[Part]:
    """The tokens that carry a label, and those between them."""
    start = 0
    for end in example.ends:
        yield _part(False, example.tokens[start:end], tokenizer)
        yield _part(True, example.tokens[end : end + 1], tokenizer)
        start = end + 1


def _of_ppo(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> Example:
    assert recipe.ppo and recipe.data.prompts, "checked by the recipe"
    fit = list(fitting(recipe_problems(recipe), recipe, tokenizer, say=lambda _: None))
    _refuse_overflow(recipe, max(len(ids) for _, ids in fit))

    first, ids = fit[0]
    prompt = prompt_text(first.problem, recipe.data, tokenizer)
    ends = {tokenizer.eos_token_id, *(stated_ends(recipe.model.path) if recipe.model.path else ())}
    cut = len(ids) - len(encode_start(prompt, first.start, tokenizer))
    parts = [_part(False, some, tokenizer) for some in (ids[:cut], ids[cut:]) if some]
    remarks = [f"a response ends with {' or '.join(tokenizer.convert_ids_to_tokens(sorted(ends)))}"]
    if begun := opened(prompt):
        remarks.append(
            f"the prompt opens the thinking: rewards see {begun!r} and then what the model writes"
        )
    if recipe.data.has_starts:
        starts = sum(bool(problem.start) for problem, _ in fit)
        remarks.append(f"{starts} of {len(fit)} prompts end with the start of a response")
    if first.start:
        remarks.append(
            f"here its {len(ids) - cut} tokens are the last ones: the model goes on from there, and "
            "rewards see the whole response"
        )
    return Example("ppo", recipe.ppo.backend, len(fit), parts, remarks)


def _refuse_overflow(recipe: Recipe, longest: int) -> None:
    """DataError where the longest prompt leaves no place for a response, as training would find."""
    assert recipe.ppo, "checked by the recipe"
    limit, most = context_length(recipe.model), recipe.ppo.max_new_tokens
    if limit is not None and longest + most > limit:
        what = "prompt, with its start," if recipe.data.has_starts else "prompt"
        raise DataError(
            f"ppo: the longest {what} has {longest} tokens, and with ppo.max_new_tokens {most} it does "
            f"not fit the model's {limit} positions; lower ppo.max_prompt_tokens or max_new_tokens"
        )


def _part(learned: bool, tokens: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> Part:
    return Part(learned, tokens, str(tokenizer.decode(tokens, skip_special_tokens=False)))
