"""Archives of runs: what is in them, what is never in them, and reading those of strangers."""

import json
import shutil
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from rlsp_cli.errors import CheckError, DataError, RecipeError, UsageError
from rlsp_cli.pack import (
    contents_of,
    differences,
    local_recipe,
    open_archive,
    powers,
    write_archive,
)
from rlsp_cli.pack.index import Index, Packed
from rlsp_cli.runs.run import create_run, open_run
from rlsp_cli.runs.stream import write_json
from tests.conftest import load_checked, rlsp

PLUGIN = """\
from pathlib import Path

from rlsp_cli.rewards import Sample, verifier

Path("ran.txt").touch()


@verifier
def mine(sample: Sample) -> bool:
    return len(sample.response) % 2 == 0
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plugin that leaves a file where it is loaded."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    return path


def planned(recipe: Path, root: Path, *overrides: str) -> Path:
    create_run(load_checked(recipe, *overrides), recipe, root)
    return root


def packed(run: Path, path: Path, with_data: bool = False) -> Path:
    contents = contents_of(run, with_data)
    write_archive(path, contents.index, contents.files)
    return path


def names(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as file:
        return file.namelist()


def test_recipes_are_packed_as_written_with_all_that_they_extend(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    (tmp_path / "middle.yaml").write_text("extends: tiny.yaml\nseed: 5\n")
    (tmp_path / "top.yaml").write_text("extends: middle.yaml\nname: top # mine\n")
    archive = open_archive(
        packed(planned(tmp_path / "top.yaml", tmp_path / "run"), tmp_path / "a.zip")
    )
    assert archive.read("run/recipe.yaml") == b"extends: middle.yaml\nname: top # mine\n"
    assert archive.read("run/extends/1-middle.yaml").startswith(b"extends: tiny.yaml")
    assert archive.read("run/extends/2-tiny.yaml") == tiny_recipe.read_bytes()


def test_plugins_are_packed_and_the_recipe_of_another_machine_names_them_there(
    tiny_recipe: Path, tmp_path: Path, plugin: Path
) -> None:
    use = f"reward.correctness={{use: '{plugin}:mine'}}"
    archive = open_archive(packed(planned(tiny_recipe, tmp_path / "run", use), tmp_path / "a.zip"))
    assert not list(powers(local_recipe(archive, Path("/there"), []), Path("/there")))
    assert archive.read("plugins/own/mine.py") == plugin.read_bytes()
    assert "plugins/shipped/tasks/pair_sum.py" in names(archive.path)

    recipe = local_recipe(archive, Path("/there"), ["seed=8"])
    assert recipe["reward"]["correctness"]["use"] == "/there/plugins/own/mine.py:mine"
    assert recipe["seed"] == 8


def test_data_stays_at_home_unless_it_is_asked_for(tiny_recipe: Path, tmp_path: Path) -> None:
    data = tmp_path / "problems.jsonl"
    data.write_text(json.dumps({"problem": "private", "answer": "2"}) + "\n")
    run = planned(tiny_recipe, tmp_path / "run", f"data.heldout={{source: {data}}}")
    places = {"problems": "private 1 + 1", "first": "row 3, private", "likely_first": None}
    write_json(
        run / "eval" / "results.json",
        {
            "data": {
                "models": {},
                "comparisons": [],
                "verifier": {},
                "contaminated": {"heldout": {"traces": {**places, "problems": 1}}},
                "benches": {"heldout": {"protocol": {"first_prompt": "private?"}}},
            }
        },
    )
    without = open_archive(packed(run, tmp_path / "without.zip"))
    assert all(b"private" not in without.read(one.name) for one in without.index.files)

    whole = open_archive(packed(run, tmp_path / "whole.zip", with_data=True))
    assert whole.read("data/0-problems.jsonl") == data.read_bytes()
    assert local_recipe(whole, Path("/x"), [])["data"]["heldout"]["source"].startswith("/x/data/")


@pytest.mark.parametrize(
    "line", ["# password of the judge: hunter2-hunter2", "KEY = 'sk-abcdefghijklmnopqrstuv'"]
)
def test_a_secret_in_a_plugin_is_refused_and_not_shown(
    tiny_recipe: Path, tmp_path: Path, plugin: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv("JUDGE_API_KEY", "hunter2-hunter2")
    plugin.write_text(f"{PLUGIN}\n{line}\n")
    run = planned(tiny_recipe, tmp_path / "run", f"reward.correctness={{use: '{plugin}:mine'}}")
    with pytest.raises(CheckError, match=r"mine\.py: ") as error:
        contents_of(run)
    assert "hunter2" not in str(error.value) and "sk-" not in str(error.value)


def archive_of(path: Path, name: str) -> Path:
    """An archive of one file, which its index names too."""
    files = [Packed(name, "run", b"text")]
    index = Index("name", "1", None, None, [], [file.entry for file in files])
    write_archive(path, index, files)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "../out.txt",
        "/tmp/out.txt",
        "run/../../out.txt",
        "C:\\out.txt",
        "run/\u202eout.txt",
        "run//out.txt",
        "./out.txt",
    ],
)
def test_a_name_that_may_lead_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="lead elsewhere"):
        open_archive(archive_of(tmp_path / "a.zip", name))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFBLK])
def test_links_folders_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    index = zipfile.ZipFile(archive_of(tmp_path / "a.zip", "run/a.txt")).read("archive.json")
    entry = zipfile.ZipInfo("run/a.txt")
    entry.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as file:
        file.writestr("archive.json", index)
        file.writestr(entry, "text")
    with pytest.raises(DataError, match="is a link"):
        open_archive(tmp_path / "b.zip")


def test_files_that_are_not_in_the_index_are_refused(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "a.zip", "run/a.txt")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("run/b.txt", "x")
    with pytest.raises(DataError, match="not those of its index"):
        open_archive(path)


def test_a_file_that_is_not_what_the_index_says_is_not_unpacked(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "a.zip", "run/a.txt")
    with zipfile.ZipFile(path) as file:
        index = file.read("archive.json")
    for content in (b"else", b"text and much more"):
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("archive.json", index)
            file.writestr("run/a.txt", content)
        with pytest.raises(DataError, match="not what the index says"):
            open_archive(path).unpack(tmp_path / "out")
    assert not (tmp_path / "out" / "run" / "a.txt").exists()


def test_a_name_that_is_a_path_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        data = {"name": "../x", "rlsp": "1", "model": None, "fingerprint": None}
        document = {"schema": "rlsp.archive/1", "data": {**data, "backends": [], "files": []}}
        file.writestr("archive.json", json.dumps(document))
    with pytest.raises(DataError, match="name: "):
        open_archive(tmp_path / "a.zip")


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip file", b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_archive_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match="not an archive"):
        open_archive(tmp_path / "a.zip")


def with_file(run: Path, path: Path, name: str, content: bytes) -> Path:
    """An archive of a run with another content of one file, of which its index knows."""
    contents = contents_of(run)
    files = [file for file in contents.files if file.name != name]
    files.append(Packed(name, "run", content))
    index = replace(contents.index, files=[file.entry for file in files])
    write_archive(path, index, files)
    return path


def test_a_recipe_that_cannot_be_read_is_named_in_its_archive(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    run = planned(tiny_recipe, tmp_path / "run")
    path = with_file(run, tmp_path / "a.zip", "run/resolved.yaml", b"name: [1")
    with pytest.raises(RecipeError, match=f"^{path}: run/resolved.yaml:1:9: not valid YAML"):
        local_recipe(open_archive(path), Path("x"), [])


@pytest.mark.integration
def test_numbers_that_cannot_be_read_are_refused_before_the_run(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    run = planned(tiny_recipe, tmp_path / "run")
    path = with_file(run, tmp_path / "a.zip", "run/ppo/metrics.jsonl", b'{"step"\n')
    done = rlsp("reproduce", path, "--yes", "--out", tmp_path / "again", check=False)
    assert done.returncode == 3 and "run/ppo/metrics.jsonl:1: damaged" in done.stderr
    assert not (tmp_path / "again" / "run").exists()


def test_an_archive_is_not_written_over_a_file(tmp_path: Path) -> None:
    archive_of(tmp_path / "a.zip", "run/a.txt")
    with pytest.raises(UsageError, match="there already"):
        archive_of(tmp_path / "a.zip", "run/a.txt")


def test_a_run_that_has_not_ended_is_packed_with_a_note(tiny_recipe: Path, tmp_path: Path) -> None:
    run = planned(tiny_recipe, tmp_path / "run")
    assert contents_of(run).notes == ["the run has not ended"]
    open_run(run).update(state="done")
    assert contents_of(run).notes == []


def test_a_damaged_file_is_named_where_it_is(tiny_recipe: Path, tmp_path: Path) -> None:
    run = planned(tiny_recipe, tmp_path / "run")
    metrics = run / "ppo" / "metrics.jsonl"
    metrics.parent.mkdir()
    metrics.write_text('{"step": 0}\n{"step"\n')
    with pytest.raises(DataError, match=f"^{metrics}:2: damaged"):
        contents_of(run)


def test_versions_data_and_plugins_that_differ_are_found(tiny_recipe: Path, tmp_path: Path) -> None:
    data = tmp_path / "problems.jsonl"
    data.write_text(json.dumps({"problem": "1 + 1", "answer": "2"}) + "\n")
    run = planned(tiny_recipe, tmp_path / "run", f"data.heldout={{source: {data}}}")
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["versions"]["torch"] = "1.0"
    write_json(run / "manifest.json", manifest)
    archive = open_archive(packed(run, tmp_path / "a.zip"))

    def found(*overrides: str) -> dict[str, bool]:
        facts = differences(archive, local_recipe(archive, Path("/x"), overrides))
        return {fact.what: fact.is_same for fact in facts}

    before = found()
    assert not before["torch"] and before["python"] and before["cpus"]
    assert before[f"data heldout {data}"] and before["plugins/shipped/rewards/length.py"]

    other = tmp_path / "other.jsonl"
    other.write_text("{}")
    assert not found(f"data.heldout.source={other}")[f"data heldout {other}"]


def test_what_a_recipe_may_run_or_ask_is_named_and_its_interpreters_are_not_taken(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    keys = ["cluster.slurm.setup='rm -r x'", "cluster.env.LD_PRELOAD=/tmp/evil.so"]
    keys.append("backends.openrlhf.python=/tmp/evil")
    run = planned(tiny_recipe, tmp_path / "run", *keys)
    archive = open_archive(packed(run, tmp_path / "a.zip"))
    recipe = local_recipe(archive, Path("/x"), ["reward.exploration=[{use: '/home/me/mine.py:f'}]"])
    assert dict(powers(recipe, Path("/x"))) == {
        "reward.exploration.0.use": "/home/me/mine.py:f",
        "cluster.env.LD_PRELOAD": "/tmp/evil.so",
        "cluster.slurm.setup": "rm -r x",
    }
    assert "evil" not in json.dumps(recipe["cluster"]["slurm"]) and "backends" not in recipe


@pytest.mark.integration
def test_the_same_run_gives_the_same_bytes_without_weights_and_prompts(
    tiny_run: Path, tmp_path: Path
) -> None:
    run = tiny_run / "run"
    rlsp("pack", run, "--out", tmp_path / "a.zip")
    rlsp("pack", run, "--out", tmp_path / "b.zip", cwd=tmp_path)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()

    there = names(tmp_path / "a.zip")
    assert {"README.md", "report.html", "run/ppo/job.json", "run/ppo/metrics.jsonl"} < set(there)
    assert not [name for name in there if "checkpoints" in name or "rollouts" in name]
    results = open_archive(tmp_path / "a.zip").read("run/eval/results.json")
    assert b'"first_prompt": null' in results and b'"first_prompt": "' not in results


@pytest.mark.integration
def test_a_packed_run_is_run_again_elsewhere_only_when_agreed_with_equal_numbers(
    tiny_recipe: Path, tmp_path: Path, plugin: Path
) -> None:
    small = ["ppo=null", "sft.max_steps=2", "eval.samples=0", "data.heldout.rows=4"]
    use = f"reward.correctness={{use: '{plugin}:mine'}}"
    rlsp("run", tiny_recipe, *small, use, "--out", "run", cwd=tmp_path)
    rlsp("pack", "run", "--out", tmp_path / "a.zip", cwd=tmp_path)
    plugin.unlink()
    shutil.rmtree(tmp_path / "run")

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    asked = rlsp("reproduce", tmp_path / "a.zip", "--out", "again", cwd=elsewhere, check=False)
    assert asked.returncode == 2 and "nothing was run" in asked.stderr
    assert "plugins/own/mine.py" in asked.stdout
    wrong = rlsp("reproduce", tmp_path / "a.zip", "ppo.step=1", cwd=elsewhere, check=False)
    assert wrong.returncode == 3 and 'unknown key "step" in ppo' in wrong.stderr
    assert wrong.stdout == "" and list(elsewhere.iterdir()) == []

    done = rlsp("reproduce", tmp_path / "a.zip", "--out", "again", "--yes", cwd=elsewhere)
    assert (elsewhere / "ran.txt").exists()
    assert "1 of 1 scores are equal to the last digit" in done.stdout
    diff = json.loads(
        rlsp("runs", "diff", "again/archive/run", "again/run", "--json", cwd=elsewhere).stdout
    )
    assert {curve["first"] for curve in diff["data"]["curves"]} == {None}
