"""What SFT learns, with tokenizers that have chat templates: one opening tag, one end, the same on every backend."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from rlsp_cli.backends.axolotl.setup import setup
from rlsp_cli.backends.job_step import JobStep
from rlsp_cli.backends.local.sampling import served_sampler
from rlsp_cli.backends.publish import name_end
from rlsp_cli.backends.vllm.server import Server, _Process
from rlsp_cli.data import Trace
from rlsp_cli.data.conversation import Turn
from rlsp_cli.engine.ending import adopt_turn_end, end_ids, refuse_other_end, stated_ends, turn_end
from rlsp_cli.engine.lesson import closed_traces, encode_lessons, lessons
from rlsp_cli.engine.model import load_model, load_tokenizer
from rlsp_cli.engine.prompt import decode, encode_prefix, prompt_text, trace_prompt
from rlsp_cli.engine.sampler import LocalSampler
from rlsp_cli.errors import DataError
from rlsp_cli.evals.samplers import Decoding, Request, answers
from rlsp_cli.recipe.data import Data
from tests.byte_model import byte_model, byte_tokenizer, chatml
from tests.conftest import rlsp
from tests.openai_server import Reply, serving

PLAIN = Data(template="{problem}")
ASKED = "<|im_start|>user\n1+1<|im_end|>\n<|im_start|>assistant\n"
THOUGHT = "<think>\nhm\n</think>\n\n2"
RECIPE = """\
schema_version: 1
name: lessons
model: {{path: {model}}}
data:
  template: "{{problem}}"
  traces: {{source: {traces}, messages: messages}}
  prompts: {{source: {prompts}}}
reward: {{correctness: {{use: exact_match}}}}
sft: {{backend: {backend}, max_steps: 1, batch: 1, micro_batch: 1, max_length: 400}}
ppo: {{steps: 1, rollout_batch: 2, train_batch: 2, micro_batch: 2, max_new_tokens: 4, max_prompt_tokens: 200}}
cluster: {{gpus_per_node: 0}}
"""


def written(folder: Path, backend: str, *answers: dict[str, Any], opens: str = "<think>\n") -> Path:
    """A recipe whose model ends its turns with `<|im_end|>` and opens thinking; each answer is to the same question."""
    model = byte_model(folder / "model", byte_tokenizer(chatml(opens)))
    asked = {"role": "user", "content": "1+1"}
    rows = [{"messages": [asked, {"role": "assistant", **answer}]} for answer in answers]
    (folder / "traces.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "prompts.jsonl").write_text(json.dumps({"problem": "1+1", "answer": "2"}) + "\n")
    text = RECIPE.format(
        model=model,
        traces=folder / "traces.jsonl",
        prompts=folder / "prompts.jsonl",
        backend=backend,
    )
    (folder / "recipe.yaml").write_text(text)
    return folder / "recipe.yaml"


@pytest.mark.parametrize("opens", ["", "<think>", "<think>\n", "<think>\n\n"])
def test_the_tokens_of_an_example_hold_one_opening_tag_and_the_end_of_a_turn(opens: str) -> None:
    tokenizer = byte_tokenizer(chatml(opens))
    (lesson,) = lessons([Trace("1+1", THOUGHT)], PLAIN, tokenizer)
    prompt, response = encode_lessons([lesson], tokenizer)[0]
    text = tokenizer.decode(prompt + response)
    assert text.count("<think>") == text.count("</think>") == 1 and text.endswith(
        "hm\n</think>\n\n2<|im_end|>"
    )
    assert tokenizer.decode(prompt) == ASKED + opens


def test_a_trace_without_thinking_closes_what_the_prompt_opens_and_is_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = lessons(
        [Trace("1+1", THOUGHT), Trace("1+1", "2")], PLAIN, byte_tokenizer(chatml("<think>\n"))
    )
    assert [lesson.response for lesson in found] == ["hm\n</think>\n\n2", "\n</think>\n\n2"]
    assert "1 of 2 traces do not think" in capsys.readouterr().out


def test_traces_that_were_cut_in_their_thinking_are_left_out_and_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cut, whole = Trace("1+1", "<think>\nso \\boxed{2}"), Trace("1+1", THOUGHT)
    assert list(closed_traces([cut, whole, cut])) == [whole]
    assert "2 of 3 traces left out: thinking not closed" in capsys.readouterr().out
    asked = Turn("user", "1+1")
    later = Trace("1+1", THOUGHT, (asked, Turn("assistant", cut.response), asked))
    assert list(closed_traces([later, whole])) == [whole]
    with pytest.raises(DataError, match="none of 1 traces closes its thinking"):
        list(closed_traces([cut]))


def test_a_template_that_closes_the_thinking_takes_answers_and_refuses_thoughts() -> None:
    tokenizer = byte_tokenizer(chatml("<think>\n\n</think>\n\n"))
    found = lessons([Trace("1+1", "2"), Trace("1+1", "<think>\n\n</think>\n\n2")], PLAIN, tokenizer)
    assert [lesson.response for lesson in found] == ["2", "2"]
    for closes in ("<think>\n\n</think>\n\n", "</think>"):  # Qwen3's, and DeepSeek-V3.1's
        with pytest.raises(
            DataError, match=r"closes the thinking before the response .* model\.chat_template"
        ):
            list(lessons([Trace("1+1", THOUGHT)], PLAIN, byte_tokenizer(chatml(closes))))


@pytest.mark.parametrize(
    ("closes", "ends"),
    [
        ("<|im_end|>\n", ["<|im_end|>"]),
        ("<|end|>\n<|endoftext|>", ["<|end|>"]),
        ("<|end|><|im_end|><|start|>", ["<|end|>", "<|im_end|>", "<|start|>"]),
        ("<|end|><|endoftext|><|start|>", ["<|end|>", "<|endoftext|>"]),
        ("</s>", ["<|endoftext|>"]),
        ("", ["<|endoftext|>"]),
    ],
)
def test_a_response_ends_with_the_tokens_that_end_a_turn_in_the_template(
    closes: str, ends: list[str]
) -> None:
    template = (
        "{% for m in messages %}<|im_start|>{{ m.content | trim }}CLOSES{% endfor %}".replace(
            "CLOSES", closes
        )
    )
    tokenizer = byte_tokenizer(template, ["<|im_start|>", "<|im_end|>", "<|end|>", "<|start|>"])
    assert turn_end(tokenizer) == ends
    (lesson,) = lessons([Trace("1+1", "2")], PLAIN, tokenizer)
    assert tokenizer.decode(encode_lessons([lesson], tokenizer)[0][1]) == "2" + "".join(ends)


def test_white_space_after_a_turn_ends_nothing_even_where_it_is_a_token() -> None:
    tokenizer = byte_tokenizer(chatml())
    tokenizer.add_tokens(["\n", "\n\n", "  "])  # as in Gemma's tokenizer
    assert turn_end(tokenizer) == ["<|im_end|>"]
    adopt_turn_end(tokenizer)
    assert tokenizer.eos_token == "<|im_end|>"


def test_decoding_stops_at_the_end_of_a_turn_and_at_the_end_that_the_model_had(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(byte_model(tmp_path / "model", byte_tokenizer(chatml())))
    tokenizer, model = load_tokenizer(folder), load_model(folder, torch.device("cpu"))
    turn, text = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert tokenizer.eos_token_id == turn and end_ids(model, tokenizer) == {turn, text}
    assert decode([[*tokenizer("2")["input_ids"], turn]], tokenizer) == ["2"]
    assert (
        "responses end with <|im_end|>, as turns do in the chat template" in capsys.readouterr().err
    )


def test_a_template_whose_end_is_no_token_is_told_with_the_next_move(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = byte_model(tmp_path / "model", byte_tokenizer(chatml(), special=["<|im_start|>"]))
    assert load_tokenizer(str(folder)).eos_token == "<|endoftext|>"
    assert "'<|im_end|>', which is no token of this tokenizer" in capsys.readouterr().err


def test_a_published_model_stops_where_it_was_taught_to(tmp_path: Path) -> None:
    folder = byte_model(tmp_path / "model", byte_tokenizer(chatml()))
    load_tokenizer(str(folder)).save_pretrained(folder)
    for _ in range(2):
        name_end(folder)
        assert sorted(byte_tokenizer().convert_ids_to_tokens(sorted(stated_ends(str(folder))))) == [
            "<|endoftext|>",
            "<|im_end|>",
        ]


@pytest.mark.integration
def test_a_server_is_told_to_stop_where_turns_end_and_where_the_model_did(tmp_path: Path) -> None:
    folder = str(byte_model(tmp_path / "model", byte_tokenizer(chatml())))
    turn, text = byte_tokenizer(chatml()).convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    reply: Reply = (200, {}, {"choices": [{"text": "2"}]})
    with serving(lambda _: reply) as server, subprocess.Popen(["sleep", "60"]) as idle:
        behind = Server(server.url, folder, "key", 64, _Process(idle, tmp_path / "log", 0))
        sampler, prompt = served_sampler(behind, "auto", 1, lambda: None)
        answers(sampler, [Request("a", prompt("1+1", PLAIN.system))], Decoding(0.0, 1.0, 8, seed=0))
        idle.kill()
    (asked,) = server.asked
    assert asked["stop_token_ids"] == sorted([turn, text])
    assert byte_tokenizer(chatml()).decode(asked["prompt"]) == ASKED


def test_openrlhf_is_given_no_model_that_runs_past_the_end_of_its_turns(tmp_path: Path) -> None:
    folder = byte_model(tmp_path / "model", byte_tokenizer(chatml()))
    with pytest.raises(DataError, match=r"turns end with <\|im_end\|> .* run SFT first"):
        refuse_other_end(str(folder), load_tokenizer(str(folder)))
    load_tokenizer(str(folder)).save_pretrained(folder)
    name_end(folder)
    refuse_other_end(str(folder), load_tokenizer(str(folder)))


def test_tags_that_are_special_tokens_stay_in_what_rewards_see() -> None:
    tokenizer = byte_tokenizer(
        chatml(), ["<|im_start|>", "<|im_end|>", "[THINK]", "[/THINK]", "<|channel>"]
    )
    text = "[THINK]hm[/THINK]2"
    assert decode([tokenizer(f"{text}<|im_end|>")["input_ids"]], tokenizer) == [text]


def test_the_recipes_system_message_is_put_before_turns_that_have_none() -> None:
    tokenizer, data = byte_tokenizer(chatml()), Data(template="{problem}", system="Be brief.")
    ours, theirs = (
        "<|im_start|>system\n" + words + "<|im_end|>\n" for words in ("Be brief.", "Be kind.")
    )
    assert prompt_text("1+1", data, tokenizer) == ours + ASKED
    own = Trace("1+1", "2", turns=(Turn("system", "Be kind."), Turn("user", "1+1")))
    assert trace_prompt(own, data, tokenizer) == theirs + ASKED
    bare = Trace("1+1", "2", turns=(Turn("user", "1+1"),))
    assert trace_prompt(bare, data, tokenizer) == ours + ASKED


def test_a_prefix_is_encoded_without_the_tag_that_its_prompt_has() -> None:
    tokenizer, prompt = byte_tokenizer(chatml()), f"{ASKED}<think>\n"
    ids = encode_prefix(Request("a", prompt, prefix="<think>\nhm Wait"), tokenizer)
    assert tokenizer.decode(ids) == "hm Wait"
    assert encode_prefix(Request("a", prompt, prefix="<think>\n"), tokenizer) == []


def test_the_embedded_engine_gives_responses_with_the_tag_that_the_prompt_opened(
    tmp_path: Path,
) -> None:
    folder = str(byte_model(tmp_path / "model", byte_tokenizer(chatml())))
    sampler = LocalSampler(
        load_model(folder, torch.device("cpu")), load_tokenizer(folder), "float32"
    )
    greedy = Decoding(0.0, 1.0, 8, seed=0)
    opened, bare = Request("a", f"{ASKED}<think>\n"), Request("b", ASKED)
    first, other = answers(sampler, [opened, bare], greedy)
    assert (
        first.text.startswith("<think>\n")
        and not other.text.startswith("<think>")
        and first.num_tokens == 8
    )
    begun = Request("a", opened.prompt, prefix="<think>\n")
    (same,) = answers(sampler, [begun], greedy)
    assert begun.prefix + same.text == first.text


@pytest.mark.integration
def test_axolotl_is_given_what_the_embedded_engine_learns(tmp_path: Path) -> None:
    recipe = written(
        tmp_path, "axolotl", {"content": THOUGHT}, {"content": "2"}, {"content": "<think>\ncut"}
    )
    run = tmp_path / "run"
    (run / "sft").mkdir(parents=True)
    (run / "resolved.yaml").write_text(rlsp("check", recipe, "--resolved").stdout)
    setup(JobStep.of({"run": str(run), "resume": None}))
    rows = [
        json.loads(line)["segments"]
        for line in (run / "sft" / "train.jsonl").read_text().splitlines()
    ]
    assert [[(part["label"], part["text"]) for part in row] for row in rows] == [
        [(False, f"{ASKED}<think>\n"), (True, "hm\n</think>\n\n2<|im_end|>")],
        [(False, f"{ASKED}<think>\n"), (True, "\n</think>\n\n2<|im_end|>")],
    ]
    assert load_tokenizer(str(run / "sft" / "tokenizer")).eos_token == "<|im_end|>"


@pytest.mark.integration
@pytest.mark.parametrize("backend", ["local", "axolotl"])
def test_check_shows_the_first_example_with_what_is_learned(tmp_path: Path, backend: str) -> None:
    answer = {"reasoning_content": "hm", "content": "2"}
    recipe = written(tmp_path, backend, {"content": "<think>\ncut"}, answer)
    shown = rlsp("check", recipe, "--show-example")
    assert shown.stdout.partition("\n\n")[2].splitlines() == [
        f"sft on {backend}, the first of 1: 30 tokens not learned, 15 tokens learned",
        r"    | <|im_start|>user\n",
        r"    | 1+1<|im_end|>\n",
        r"    | <|im_start|>assistant\n",
        r"    | <think>\n",
        r"  + | hm\n",
        r"  + | </think>\n",
        r"  + | \n",
        r"  + | 2<|im_end|>",
        "",
        "ppo on local, the first of 1: 30 tokens not learned",
        r"    | <|im_start|>user\n",
        r"    | 1+1<|im_end|>\n",
        r"    | <|im_start|>assistant\n",
        r"    | <think>\n",
        "  a response ends with <|endoftext|> or <|im_end|>",
        r"  the prompt opens the thinking: rewards see '<think>\n' and then what the model writes",
    ]
    assert "1 of 2 traces left out: thinking not closed" in shown.stderr
    data = json.loads(rlsp("check", recipe, "--show-example", "--json").stdout)["data"]
    assert [part["learned"] for part in data["examples"][0]["parts"]] == [False, True]


@pytest.mark.integration
def test_showing_an_example_where_every_prompt_is_too_long_says_so(tmp_path: Path) -> None:
    recipe = written(tmp_path, "local", {"content": THOUGHT})
    shown = rlsp("check", recipe, "--show-example", "ppo.max_prompt_tokens=5", check=False)
    assert shown.returncode == DataError.exit_code
    assert (
        "all 1 prompts are longer than ppo.max_prompt_tokens 5; the shortest has 30 tokens"
        in shown.stderr
    )
