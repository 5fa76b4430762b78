"""Recipes: what is read, what is refused, and what is said about it."""

import json
from pathlib import Path

import pytest
import yaml

from rlsp_cli.errors import RecipeError
from rlsp_cli.recipe.dump import dump_recipe
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.section import Section
from rlsp_cli.recipe.shipped import shipped_recipes
from rlsp_cli.rewards.registry import resolve_options
from tests.conftest import TINY, load_checked


def load(folder: Path, text: str, *overrides: str) -> Recipe:
    (folder / "r.yaml").write_text(text)
    return load_recipe(folder / "r.yaml", overrides, plugins=resolve_options)


def problems(folder: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load(folder, text, *overrides)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_loads_and_its_resolved_form_is_the_same_recipe(
    name: str, tmp_path: Path
) -> None:
    recipe = load_recipe(shipped_recipes()[name], plugins=resolve_options)
    assert recipe.description
    (tmp_path / "resolved.yaml").write_text(dump_recipe(recipe))
    again = load_recipe(tmp_path / "resolved.yaml", plugins=resolve_options)
    assert again.model_dump() == recipe.model_dump() and again.digest == recipe.digest


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_resolved_recipe_reads_the_same_in_pyyaml(name: str) -> None:
    recipe = load_recipe(shipped_recipes()[name], plugins=resolve_options)
    assert yaml.safe_load(dump_recipe(recipe)) == recipe.model_dump(mode="json")


@pytest.mark.integration
def test_words_that_some_reader_takes_for_something_else_survive(tmp_path: Path) -> None:
    odd = [
        "yes",
        "on",
        "1e-5",
        "0x10",
        "null",
        "~",
        "1:30",
        "010",
        "a: b",
        "# x",
        " x",
        "é\n",
        '"',
        "- a",
        "{problem}",
    ]
    odd += [
        "y",
        "NO",
        "True",
        ".5e3",
        ".inf",
        "=",
        "a\x85b",
        "a\u2028b",
        "\ufeff",
        "\x7f\x1b",
        "\t",
        "\U0001f600",
        "/a:b",
        "a:",
    ]
    for word in odd:
        recipe = load(tmp_path, TINY).model_copy(update={"description": word})
        text = dump_recipe(recipe)
        assert yaml.safe_load(text)["description"] == word
        assert load(tmp_path, text).description == word


def test_an_unknown_key_names_its_place_and_the_nearest_one(tmp_path: Path) -> None:
    text = TINY.replace("exploration:", "exploraton:")
    assert problems(tmp_path, text) == [
        'r.yaml:12:3: unknown key "exploraton" in reward - did you mean "exploration"?'
    ]


def test_all_problems_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        TINY.replace("seed: 3", "sed: 3")
        .replace("exact_match", "exact_mach")
        .replace("scale: 10", "scael: 10")
    )
    text = text.replace("steps: 4\n", "steps: many\n").replace(
        "task:pair_sum, rows: 64}\n  p", "task:pair_sim}\n  p"
    )
    found = problems(tmp_path, text)
    assert [line.split(" ")[0] for line in found] == [
        "r.yaml:3:1:",
        "r.yaml:7:12:",
        "r.yaml:11:17:",
        "r.yaml:12:30:",
        "r.yaml:16:3:",
    ]
    assert 'did you mean "pair_sum"?' in found[1]
    assert 'did you mean "exact_match"?' in found[2]
    assert 'did you mean "scale"?' in found[3]
    assert "ppo.steps" in found[4] and "'many'" in found[4]


def test_numbers_written_as_text_are_numbers(tmp_path: Path) -> None:
    text = TINY.replace("learning_rate: 3.0e-3", 'learning_rate: "1e-5"')
    recipe = load(tmp_path, text, "ppo.learning_rate=2e-7")
    assert recipe.sft is not None and recipe.sft.learning_rate == 1e-5
    assert recipe.ppo is not None and recipe.ppo.learning_rate == 2e-7


def test_yes_and_on_are_text_and_a_doubled_key_is_refused(tmp_path: Path) -> None:
    assert load(tmp_path, TINY.replace("name: tiny", "name: yes")).name == "yes"
    (line,) = problems(tmp_path, TINY + "seed: 4\n")
    assert line.startswith("r.yaml:26:1: not valid YAML") and "seed" in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "found nothing"),
        ("- a\n", "found a list"),
        ("a", "found 'a'"),
        ("name: [1\n", "not valid YAML"),
        ("a:\n\tb: 1", "not valid"),
    ],
)
def test_what_is_no_recipe_is_one_clear_line(tmp_path: Path, text: str, words: str) -> None:
    (line,) = problems(tmp_path, text)
    assert line.startswith("r.yaml") and words in line


_BOMB = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 8)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (_BOMB, "6:28", "more than 200,000 values"),
        ("name: x\na: " + "[" * 100_000, "2:1004", "more than 1000 open brackets"),
        ("name: x\na: " + "[" * 50, "2:42", "nested deeper than 40"),
        ("".join("  " * depth + "a:\n" for depth in range(60)), "40:79", "nested deeper than 40"),
        ("a: &a\n  b: [*a]\n", "2:7", "*a stands for something that it is part of"),
        (
            "name: x\na: !!python/object/apply:os.system [ls]\n",
            "2:4",
            "no tags, found !!python/object",
        ),
        ("name: x\na: !mine 3\n", "2:4", "no tags, found !mine"),
        ("name: x\nextends: 5\n", "2:1", "extends: expected the name"),
        ("name: x\nextends: {a: 1}\n", "2:1", "extends: expected the name"),
        ("name: x\nextends: [quickstart, 5]\n", "2:1", "extends: expected the name"),
        ("name: x\nseed: " + "9" * 5000, "2:7", "not valid YAML"),
        ("name: x\nseed: 0x_", "2:7", "not valid YAML"),
        ("name: 2001-13-45\n", "1:7", "month must be in 1..12"),
        ('name: x\ndescription: "\\ud800"\n', "2:14", "half of a character"),
        ("a:\n  <<: 5\n", "2:7", "for merging"),
    ],
)
def test_yaml_that_no_recipe_needs_is_refused_at_its_place(
    tmp_path: Path, text: str, place: str, words: str
) -> None:
    (line,) = problems(tmp_path, text)
    assert line.startswith(f"r.yaml:{place}: ") and words in line


def test_merged_mappings_are_read_and_their_problems_have_the_place_where_they_were_written(
    tmp_path: Path,
) -> None:
    text = TINY.replace("prompts: {", "prompts: &p {")
    merged = text.replace("heldout: {source: task:pair_sum,", "heldout: {<<: *p,")
    heldout = load(tmp_path, merged).data.heldout
    assert heldout is not None and (heldout.source, heldout.split, heldout.rows) == (
        "task:pair_sum",
        "test",
        6,
    )
    line = 1 + merged.splitlines().index("  prompts: &p {source: task:pair_sum, rows: 64}")
    found = problems(
        tmp_path,
        merged.replace(
            "&p {source: task:pair_sum, rows: 64}", "&p {source: task:pair_sum, row: 64}"
        ),
    )
    assert [problem.split(" ")[0] for problem in found] == [f"r.yaml:{line}:39:"] * 2


def test_a_missing_file_and_a_circle_of_extends_are_said(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none.yaml: cannot read this file: No such file"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(RecipeError, match="circle"):
        load_recipe(tmp_path / "a.yaml")


def test_extends_merges_a_chain_and_later_values_win(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(TINY)
    (tmp_path / "mid.yaml").write_text("extends: base.yaml\nppo: {steps: 7, rollout_batch: 32}\n")
    recipe = load(tmp_path, "extends: mid.yaml\nname: top\nppo: {steps: 9}\n", "ppo.train_batch=4")
    assert recipe.ppo is not None
    assert (recipe.name, recipe.ppo.steps, recipe.ppo.rollout_batch, recipe.ppo.train_batch) == (
        "top",
        9,
        32,
        4,
    )
    assert "r.yaml:3:7" in str(recipe.origin("ppo.steps"))
    assert "mid.yaml:2:17" in str(recipe.origin("ppo.rollout_batch"))
    assert "base.yaml" in str(recipe.origin("seed"))
    assert str(recipe.origin("ppo.train_batch")) == "override #1 (ppo.train_batch)"
    assert str(recipe.origin("ppo.gamma")) == "default"


def test_what_an_override_of_a_section_does_not_name_keeps_value_and_origin(tmp_path: Path) -> None:
    recipe = load(tmp_path, TINY, "ppo={steps: 9}")
    assert recipe.ppo is not None and (recipe.ppo.steps, recipe.ppo.rollout_batch) == (9, 16)
    assert str(recipe.origin("ppo.steps")) == "override #1 (ppo)"
    assert str(recipe.origin("ppo.rollout_batch")).endswith("r.yaml:17:3")


def test_what_went_with_a_replaced_plugin_comes_from_nowhere(tmp_path: Path) -> None:
    text = TINY.replace("{use: exact_match}", "{use: exact_match, timeout_s: 3}")
    recipe = load(tmp_path, text, "reward.correctness={use: math_verify}")
    assert recipe.reward.correctness.timeout_s is None
    assert str(recipe.origin("reward.correctness.timeout_s")) == "default"


def test_another_plugin_does_not_inherit_the_options_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(TINY)
    recipe = load(tmp_path, "extends: base.yaml\nreward: {exploration: {use: distinct_steps}}\n")
    assert recipe.reward.exploration[0].options == {"target": 10, "by": "sentences"}


def test_an_override_can_reach_into_a_list_and_a_bad_one_is_named(tmp_path: Path) -> None:
    text = TINY.replace(
        "{use: length, scale: 10}", "[{use: length, scale: 10}, {use: distinct_steps, weight: 2}]"
    )
    recipe = load(tmp_path, text, "reward.exploration.1.target=4")
    assert recipe.reward.exploration[1].options == {"target": 4, "by": "sentences"}
    assert (
        load(tmp_path, TINY, "reward.exploration.0.scale=7").reward.exploration[0].options["scale"]
        == 7
    )
    assert problems(tmp_path, TINY, "ppo=3") == [
        "override #1 (ppo): ppo: expected a mapping, found 3"
    ]
    assert problems(tmp_path, TINY, "ppo.packing=true") == [
        'override #1 (ppo.packing): unknown key "packing" in ppo - it belongs in ppo.openrlhf'
    ]
    assert problems(tmp_path, TINY, "ppo.stepps=3") == [
        'override #1 (ppo.stepps): unknown key "stepps" in ppo - did you mean "steps"?'
    ]
    assert problems(tmp_path, TINY, "nonsense") == ["override #1: 'nonsense' is not key.path=value"]


def test_interpolation_copies_a_value_and_an_unknown_key_is_a_problem(tmp_path: Path) -> None:
    recipe = load(
        tmp_path,
        TINY.replace("name: tiny", "name: tiny-${seed}").replace(
            "batch: 16,", 'batch: "${ppo.steps}",'
        ),
    )
    assert recipe.name == "tiny-3" and recipe.sft is not None and recipe.sft.batch == 4
    (line,) = problems(tmp_path, TINY.replace("exact_match", "'${sed}'"))
    assert line.startswith("r.yaml:11:17: cannot resolve '${sed}'")


def test_a_whole_section_can_be_copied_and_keeps_no_tie_to_the_first(tmp_path: Path) -> None:
    text = TINY.replace(
        "heldout: {source: task:pair_sum, split: test, rows: 6}", "heldout: '${data.prompts}'"
    )
    data = load(tmp_path, text, "data.prompts.rows=5", "data.prompts.split='${name}'").data
    (prompts,) = data.prompt_sources
    assert data.heldout is not None and data.heldout.split == "tiny"
    assert data.heldout.model_dump() == prompts.model_dump(exclude={"start", "weight"})


def test_values_stand_inside_a_text(tmp_path: Path) -> None:
    text = "is ${ppo.steps}, ${ppo.learning_rate}, ${name}"
    assert load(tmp_path, TINY, f"description='{text}'").description == "is 4, 0.001, tiny"


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["name='${description}'", "description='x ${name}'"], "Recursive interpolation"),
        (["ppo.extra='${ppo}'"], "Interpolation to parent node"),
        (["description='${ppo}, that is'"], "a section or a list cannot stand inside a text"),
        (["description='${a.${name}}'"], "Interpolation key 'a.tiny' not found"),
        (["ppo.extra={a.b: '${sed}'}"], "Interpolation key 'sed' not found"),
    ],
)
def test_a_reference_that_stands_for_nothing_is_refused_with_its_reason(
    tmp_path: Path, overrides: list[str], reason: str
) -> None:
    assert all(
        "cannot resolve '" in line and reason in line
        for line in problems(tmp_path, TINY, *overrides)
    )


def test_environment_variables_do_not_get_into_a_recipe(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, TINY, "reward.correctness.use='${oc.env:HOME}'")
    assert "are not allowed" in line and str(Path.home()) not in line


def test_a_broken_interpolation_in_a_prompt_is_text_beside_one_that_works(tmp_path: Path) -> None:
    text = TINY.replace("data:\n", "data:\n  template: 'Set ${ {x}: {problem}'\n").replace(
        "batch: 16,", 'batch: "${ppo.steps}",'
    )
    recipe = load(tmp_path, text)
    assert (
        recipe.data.template == "Set ${ {x}: {problem}"
        and recipe.sft is not None
        and recipe.sft.batch == 4
    )


def test_braces_in_a_prompt_template_are_text(tmp_path: Path) -> None:
    recipe = load(tmp_path, TINY.replace("data:\n", "data:\n  template: 'Pay ${x}: {problem}'\n"))
    assert recipe.data.template == "Pay ${x}: {problem}"


def test_relative_paths_belong_to_the_file_that_wrote_them(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "base.yaml").write_text(
        TINY.replace("task:pair_sum, rows: 64}\nre", "./p.jsonl}\nre")
    )
    (tmp_path / "sub" / "base.yaml").write_text(
        TINY.replace("prompts: {source: task:pair_sum", "prompts: {source: p.jsonl")
    )
    recipe = load(tmp_path, "extends: sub/base.yaml\n")
    assert recipe.data.prompt_sources[0].source == str(tmp_path / "sub" / "p.jsonl")


def test_relative_paths_of_an_override_belong_to_where_rlsp_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    recipe = load(
        tmp_path, TINY, "data.prompts={source: ./p.jsonl}", "reward.cache=verdicts.sqlite"
    )
    assert recipe.data.prompt_sources[0].source == str(tmp_path / "here" / "p.jsonl")
    assert recipe.reward.cache == str(tmp_path / "here" / "verdicts.sqlite")


def test_keys_that_name_files_yet_to_be_written_hold_paths_too(tmp_path: Path) -> None:
    text = TINY.replace(
        "  workers: 1", "  workers: 1\n  cache: c.sqlite\n  lexicon: words"
    ).replace("eval: {", "eval: {against: runs/a, strategies: [self_consistency], ")
    recipe = load(tmp_path, text)
    assert recipe.eval is not None
    found = (recipe.reward.cache, recipe.reward.lexicon, recipe.eval.against)
    assert found == tuple(str(tmp_path / name) for name in ("c.sqlite", "words", "runs/a"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ppo.estimator=rloo", "needs samples_per_prompt >= 2"),
        ("ppo.estimator=gea", 'did you mean "gae"?'),
        ("ppo.gae_lambda=1.5", "less than or equal to 1"),
        ("reward.alpha=-1", "greater than or equal to 0"),
        ("model.path=x", "not both"),
        ("ppo={backend: openrlhf, max_new_tokens: 16}", "max_length is 96"),
        ("ppo.train_batch=6", "does not divide the 16 responses"),
        ("ppo.openrlhf.extra={a: 1}", "ppo.openrlhf.extra.a has no effect on the local backend"),
        ("cluster.nodes=2", "one CPU or one GPU"),
        ("eval.benches=[heldout, aim24]", 'did you mean "aime24"?'),
        ("schema_version=2", "schema_version"),
    ],
)
def test_what_cannot_run_is_refused_in_words(tmp_path: Path, change: str, words: str) -> None:
    (tmp_path / "r.yaml").write_text(TINY)
    with pytest.raises(RecipeError) as caught:
        load_checked(tmp_path / "r.yaml", change)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "change",
    [
        "sft.batch=true",
        "ppo.kl_coef=true",
        "reward.alpha=true",
        "reward.exploration.weight=true",
        "sft.betas=[0.9,true]",
        "reward.exploration.weight=.inf",
        "reward.correctness.on_error={penalise: .inf}",
        "sft.betas=[0.9,1.0]",
    ],
)
def test_what_is_no_number_or_too_large_is_refused_with_its_key(
    tmp_path: Path, change: str
) -> None:
    (found,) = problems(tmp_path, TINY, change)
    assert any(word in found for word in ("a number, not true", "finite number", "less than 1"))
    assert change.partition("=")[0].rpartition(".")[2] in found


@pytest.mark.parametrize("backend", ["local", "openrlhf"])
def test_ppo_samples_from_no_nucleus(tmp_path: Path, backend: str) -> None:
    """Its loss computes the probabilities of the whole distribution."""
    (found,) = problems(tmp_path, TINY, f"ppo.backend={backend}", "ppo.top_p=0.9")
    assert "ppo.top_p: tokens drawn from a nucleus have other probabilities" in found
    assert load(tmp_path, TINY, "ppo.top_p=1", "eval.top_p=0.9").ppo


def test_the_digest_changes_with_what_decides_the_numbers_and_only_with_that(
    tmp_path: Path,
) -> None:
    recipe = load(tmp_path, TINY)
    assert load(tmp_path, TINY, "name=other").digest == recipe.digest
    assert load(tmp_path, TINY, "seed=4").digest != recipe.digest


def _sections(model: type[Section]) -> list[type[Section]]:
    from rlsp_cli.recipe.invalid import models_in

    inner = [
        m
        for field in model.model_fields.values()
        for m in models_in(field.annotation)
        if issubclass(m, Section)
    ]
    return [model, *(section for m in inner for section in _sections(m))]


def test_every_field_has_a_sentence_and_the_schema_shows_it() -> None:
    for section in _sections(Recipe):
        for name, field in section.model_fields.items():
            assert field.description and field.description.endswith("."), (
                f"{section.__name__}.{name}"
            )
    assert "exploration" in json.dumps(Recipe.model_json_schema())


POLICIES = """
schema_version: 1
name: policies
reward:
  correctness: {use: math_verify, extract: boxed, on_timeout: {penalise: 0}}
  exploration:
    - {use: length, on_error: stop, on_abstain: {penalise: -1e-5}}
    - {use: structured_format, tags: [think, "yes", "1:30"], weight: 0.5, timeout_s: 60}
"""


def test_policies_and_lists_survive_the_resolved_form(tmp_path: Path) -> None:
    recipe = load(tmp_path, POLICIES)
    (tmp_path / "resolved.yaml").write_text(dump_recipe(recipe))
    again = load_recipe(tmp_path / "resolved.yaml", plugins=resolve_options)
    assert again.model_dump() == recipe.model_dump()
    assert yaml.safe_load(dump_recipe(recipe)) == recipe.model_dump(mode="json")
    assert again.reward.exploration[1].options["tags"] == ["think", "yes", "1:30"]


def test_a_wrong_policy_is_told_in_the_words_of_the_recipe(tmp_path: Path) -> None:
    text = POLICIES.replace("on_error: stop", "on_error: ignore").replace(
        "{penalise: 0}", "{penalize: 0}"
    )
    found = "\n".join(problems(tmp_path, text))
    assert "reward.exploration.0.on_error" in found and "'ignore'" in found
    assert 'unknown key "penalize"' in found and 'did you mean "penalise"?' in found


def test_separate_advantages_need_groups_and_the_linear_mixture(tmp_path: Path) -> None:
    groups = ("ppo.samples_per_prompt=4", "ppo.rollout_batch=4", "ppo.advantages=separate")
    load(tmp_path, TINY, *groups, "ppo.estimator=rloo")
    assert "needs an estimator with groups" in problems(tmp_path, TINY, *groups)[0]
    found = problems(tmp_path, TINY, *groups, "ppo.estimator=rloo", "reward.combine=ensemble")
    assert "needs reward.combine: rlsp" in found[0]


def test_two_components_of_one_name_are_refused(tmp_path: Path) -> None:
    text = POLICIES.replace('use: structured_format, tags: [think, "yes", "1:30"]', "use: length")
    assert "'length' is named twice" in problems(tmp_path, text)[0]


@pytest.mark.parametrize(
    "text", ["ppo:\n", "ppo:  # the defaults\n", "eval: {limit: , samples: 1}\n"]
)
def test_a_key_with_nothing_behind_it_is_refused_with_what_to_write(
    tmp_path: Path, text: str
) -> None:
    (found,) = problems(tmp_path, "name: x\n" + text)
    assert (
        found.startswith("r.yaml:2:")
        and "write {} for a section with its defaults, null for none" in found
    )


def test_an_override_with_nothing_behind_it_is_refused_and_null_takes_a_value_back(
    tmp_path: Path,
) -> None:
    assert (
        "override #1 (ppo.steps): nothing behind 'ppo.steps='"
        in problems(tmp_path, TINY, "ppo.steps=")[0]
    )
    # A shell takes the quotes of `name=" "` away.
    (found,) = problems(tmp_path, TINY, "name= ")
    assert """write 'name=" "' for a text of blanks""" in found
    recipe = load(tmp_path, TINY + "description: ''\n", "ppo.steps=null", "eval=null")
    assert recipe.ppo is not None and recipe.ppo.steps is None and recipe.eval is None


@pytest.mark.parametrize(
    "change", ["ppo.steps=99999999999999999999999", "sft.batch=2000000000", "sft.learning_rate=100"]
)
def test_a_number_that_is_a_slip_of_the_finger_is_refused(tmp_path: Path, change: str) -> None:
    (found,) = problems(tmp_path, TINY, change)
    assert change.partition("=")[0] in found and "less than or equal to" in found


def test_a_text_that_yaml_reads_as_a_mapping_is_told_to_be_quoted(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, TINY, "data.template=Hi {problem}: x")
    assert "found a mapping - a text with a colon or braces stands in quotes" in found


def test_a_plugin_file_that_is_missing_is_told_once_and_where_it_is_named(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, f"{TINY}plugins: [./mine.py]\n")
    place = len(TINY.splitlines()) + 1
    assert found.startswith(f"r.yaml:{place}:") and found.endswith("mine.py: no such plugin file")


def test_a_plugin_file_that_cannot_be_imported_is_told_once(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    uses = f"reward.exploration=[{{use: '{file}:a'}}, {{use: '{file}:b'}}]"
    file.write_text("import no_such_module\n")
    (found,) = problems(tmp_path, TINY, uses)
    assert "mine.py:1: this plugin cannot be loaded: ModuleNotFoundError" in found
    file.write_text("")
    assert len(problems(tmp_path, TINY, uses)) == 2, (
        "what is said of one function is not said of the other"
    )


def test_one_word_where_a_list_belongs_is_told_in_the_words_of_yaml(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, TINY, "eval.benches=heldout")
    assert found.endswith("eval.benches: expected a list, found 'heldout' - write [heldout]")
