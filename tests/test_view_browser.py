"""`rlsp view` in a real browser: what people see, press and are protected from."""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlsp_cli.evals.answer import SEARCH, Scored
from rlsp_cli.evals.search.log import Place, Step, TreeLog
from rlsp_cli.rewards.sample import Score
from rlsp_cli.rewards.turns import Turn, Turns
from rlsp_cli.runs.paths import RunPaths
from rlsp_cli.runs.run import open_run
from rlsp_cli.runs.stream import append_rows, read_rows
from rlsp_cli.view import Library, export_view
from rlsp_cli.view.server import serve_view
from tests.browser_page import BrowserPage, browser_page
from tests.conftest import TINY
from tests.made_run import add_samples, add_steps, made_run, rollout

pytestmark = pytest.mark.integration

HOSTILE = (
    '</script></pre><img src=x onerror="window.broken=1"><script>window.broken=1</script>&lt;b&gt;'
)
STEPS, RESPONSES = 30, 10


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """Thirty steps with an alarm, two evaluations, and a last step of what is rare."""
    folder = tmp_path_factory.mktemp("view")
    (folder / "tiny.yaml").write_text(TINY)
    paths = made_run(folder / "tiny.yaml", folder / "run")
    add_steps(paths, range(STEPS), RESPONSES)

    said = (Turn("model", "Ask: 7+3? "), Turn("calculator", "it says 10"), Turn("model", "So 10."))
    turns = rollout(STEPS, "turns", "Ask: 7+3? So 10.", True, turns=Turns(said, 4))
    steps = rollout(STEPS, "steps", "First. Second.", True)
    steps["exploration"][0]["steps"] = [[0, 7, 0.9, 0.9], [7, 14, 0.1, -0.8]]
    hostile = rollout(STEPS, HOSTILE, HOSTILE, False, HOSTILE, metadata={"__proto__": HOSTILE})
    hostile |= {"prompt": HOSTILE, "reference": HOSTILE}
    hostile["correctness"] |= {"answer": HOSTILE, "component": HOSTILE}
    append_rows(paths.stage("ppo").rollouts, [turns, steps, hostile])

    add_samples(paths, "sft", "sums", {"a": 1.0, "b": 0.0, "c": 0.0, "d": 1.0})
    add_samples(paths, "ppo", "sums", {"a": 1.0, "b": 1.0, "c": 1.0, "d": 0.0})
    _add_tree(paths)
    return paths


def _add_tree(paths: RunPaths) -> None:
    place = paths.stage("eval").answers("ppo", "sums")
    log = TreeLog(place.trees)
    for number, (parent, text) in enumerate([(0, "left"), (0, HOSTILE), (1, "leaf")], 1):
        log.add_step(Place("a", 0, number), Step(parent, text, ended=number > 1))
    log.add_end(Place("a", 0, 3), "policy")
    score = Score("exact_match", "value", 1.0, "1")
    append_rows(place.samples, [Scored("a", SEARCH, 0, "leftleaf", correctness=score).to_json()])


def served(run: RunPaths) -> str:
    """The address at which a thread serves a run until the tests end."""
    said: queue.Queue[str] = queue.Queue()
    library = Library([run.root])
    threading.Thread(target=serve_view, args=(library, 0, said.put), daemon=True).start()
    return said.get(timeout=30)


@pytest.fixture(scope="module")
def address(run: RunPaths) -> str:
    return served(run)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserPage]:
    with browser_page(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def page(browser: BrowserPage, address: str) -> Iterator[BrowserPage]:
    """The page on a wide window, at its overview; afterwards it must have reported no error."""
    browser.open("about:blank")
    browser.size(1280, 900)
    browser.open(address)
    browser.wait("document.querySelectorAll('.chart').length > 5")
    yield browser
    assert browser.errors == [] and browser.text("#error") == ""


def go(page: BrowserPage, hash: str) -> None:
    page.value(f"location.hash = {hash!r}")


def shown(page: BrowserPage, words: str) -> None:
    """Wait for the line above the list to say this."""
    page.wait(f"document.querySelector('.count')?.textContent.includes({words!r})")


def test_curves_have_correctness_and_exploration_apart_and_alarms_lead_to_responses(
    page: BrowserPage,
) -> None:
    parts = page.value("[...document.querySelectorAll('h3')].map(one => one.textContent)")
    assert parts[:2] == ["Correctness", "Exploration"]
    curve = "[...document.querySelectorAll('.chart')].find(one => one.textContent.startsWith('reward/wrong'))"
    assert (
        page.value(f"{curve}.querySelector('polyline').getAttribute('points').split(' ').length")
        == STEPS
    )
    assert page.value(f"{curve}.querySelectorAll('text').length") > 5

    # 0.3 of pairs from step 21 on: the mean of five steps passes 0.05 with the first of them.
    mark = page.value(f"{curve}.querySelector('a.alarm').getAttribute('href')")
    assert mark == "#responses?run=0&file=0&step=17-21&right=wrong&sort=-reward"
    go(page, mark)
    page.wait("document.querySelector('.row')")
    steps = page.value(
        "[...document.querySelectorAll('.row .second')].map(one => parseInt(one.textContent.slice(5)))"
    )
    assert set(steps) <= set(range(17, 22))
    assert page.value("document.querySelectorAll('.row .badge:not(.wrong)').length") == 0


def test_filters_and_search_find_what_they_say(page: BrowserPage, run: RunPaths) -> None:
    go(page, "#responses?run=0&file=0")
    shown(page, f"{STEPS * RESPONSES + 3} responses")
    go(page, "#responses?run=0&file=0&step=3-4")
    shown(page, f"{2 * RESPONSES} of")
    go(page, "#responses?run=0&file=0&q=it%20says")  # what a tool said
    shown(page, "1 of")
    rewards = [row["reward"] for row in read_rows(run.stage("ppo").rollouts)]
    go(page, "#responses?run=0&file=0&reward=0.5..0.9")
    shown(page, f"{sum(0.5 <= reward <= 0.9 for reward in rewards)} of")

    # By hand, in the form: the address follows, so that what is found can be sent on.
    page.value("document.querySelector('[name=behaviour]').focus()")
    page.value(
        "(() => { const one = document.querySelector('[name=right]'); one.value = 'wrong';"
        "one.dispatchEvent(new Event('input', {bubbles: true})) })()"
    )
    page.wait("location.hash.includes('right=wrong')")


def test_hostile_text_is_shown_and_never_run(page: BrowserPage) -> None:
    number = STEPS * RESPONSES + 2
    scripts = page.value("document.scripts.length")
    for tab in ("response", "group", "same"):
        go(page, f"#responses?run=0&file=0&row={number}&tab={tab}")
        page.wait("document.querySelector('.detail pre')?.textContent.includes('onerror')")
    go(page, f"#responses?run=0&file=0&row={number}&tab=response")
    page.wait("document.querySelector('.detail details summary')")
    assert HOSTILE in page.text(".detail h2") and HOSTILE in page.text(".components")

    go(page, "#responses?run=0&file=2&row=4&tab=tree")
    page.wait("document.querySelectorAll('.tree circle').length === 4")
    page.value("document.querySelectorAll('.tree circle')[3].dispatchEvent(new Event('click'))")
    assert page.text(".node pre") == HOSTILE
    assert page.value("document.querySelectorAll('.tree line.taken').length") == 2
    assert page.value("window.broken") is None
    assert page.value("document.images.length") == 0
    assert page.value("document.scripts.length") == scripts


def test_turns_of_others_and_scores_of_steps_are_set_apart(page: BrowserPage) -> None:
    go(page, f"#responses?run=0&file=0&row={STEPS * RESPONSES}")
    page.wait("document.querySelector('.turns .foreign')")
    assert page.text(".foreign").split("\n")[0] == "calculator" and "it says 10" in page.text(
        ".foreign"
    )
    go(page, f"#responses?run=0&file=0&row={STEPS * RESPONSES + 1}")
    page.wait("document.querySelectorAll('.step').length === 2")
    assert page.value("document.querySelector('.step:last-child .score').textContent") == "0.1"


def test_a_group_stands_side_by_side_with_components_and_reasons(page: BrowserPage) -> None:
    go(page, "#responses?run=0&file=0&row=1&tab=group")
    page.wait("document.querySelectorAll('.card').length === 4")
    tops = page.value(
        "[...document.querySelectorAll('.card')].map(one => one.getBoundingClientRect().top)"
    )
    assert len(set(tops)) == 1
    assert (
        page.value("document.querySelector('.card.chosen .components').textContent").count("length")
        == 1
    )


def test_two_evaluations_show_the_problems_that_changed(page: BrowserPage) -> None:
    go(page, "#compare")
    page.wait("document.querySelectorAll('.row').length === 3")
    assert "2 better, 1 worse" in page.text("main")
    go(page, "#compare?change=lost")
    page.wait("document.querySelectorAll('.row').length === 1")
    page.press("j")
    page.wait("document.querySelectorAll('.card').length === 2")
    assert page.value("document.querySelector('.card ins').textContent") == "ppo"


def test_everything_is_reached_by_keys(page: BrowserPage) -> None:
    page.press("2")
    shown(page, "responses")
    page.press("j")
    page.press("j")
    page.wait("location.hash.includes('row=1')")
    page.press("g")
    page.wait("document.querySelector('.card')")
    page.press("Escape")
    page.wait("!location.hash.includes('row=')")
    page.press("/")
    assert page.value("document.activeElement.name") == "q"
    page.press("j")  # a letter in a field, and no command
    assert page.value("document.activeElement.value") == "j"
    page.press("Escape")
    page.press("?")
    assert page.value("document.getElementById('help').open")


def test_the_page_fits_a_phone_and_follows_dark_mode(page: BrowserPage) -> None:
    page.size(390, 844)
    for hash in (
        "#overview",
        "#responses?run=0&file=0",
        "#responses?run=0&file=0&row=2&tab=group",
        "#compare",
    ):
        go(page, hash)
        page.wait("document.querySelector('.chart, .row')")
        assert page.value("document.documentElement.scrollWidth") <= 390, hash

    go(page, "#responses?run=0&file=0&row=2")
    page.wait(
        "document.querySelector('.detail h2')?.checkVisibility() && !document.querySelector('.list').checkVisibility()"
    )
    page.value("document.querySelector('.back').click()")
    page.wait(
        "document.querySelector('.list').checkVisibility() && !document.querySelector('.detail').checkVisibility()"
    )

    colour = "getComputedStyle(document.body).backgroundColor"
    assert page.value(colour) == "rgb(255, 255, 255)"
    page.dark()
    assert page.value(colour) == "rgb(20, 23, 27)"
    page.dark(False)


def test_an_exported_folder_opens_from_a_disk_without_a_network(
    page: BrowserPage, run: RunPaths, tmp_path: Path
) -> None:
    export_view(Library([run.root]), tmp_path / "out")
    page.send("Network.enable")
    page.send(
        "Network.emulateNetworkConditions",
        offline=True,
        latency=0,
        downloadThroughput=0,
        uploadThroughput=0,
    )
    page.open((tmp_path / "out" / "index.html").as_uri())
    page.wait("document.querySelectorAll('.chart').length > 5")
    go(page, "#responses?run=0&file=0&q=it%20says")
    shown(page, "1 of")
    page.press("j")
    page.wait("document.querySelector('.turns .foreign')")
    go(page, f"#responses?run=0&file=0&row={STEPS * RESPONSES + 2}")
    page.wait("document.querySelector('.detail pre')?.textContent.includes('onerror')")
    assert page.value("window.broken") is None
    page.send(
        "Network.emulateNetworkConditions",
        offline=False,
        latency=0,
        downloadThroughput=-1,
        uploadThroughput=-1,
    )


def test_an_open_page_follows_a_run_that_grows(page: BrowserPage, run: RunPaths) -> None:
    go(page, "#responses?run=0&file=0&row=0")
    shown(page, f"{STEPS * RESPONSES + 3} responses")
    page.wait("document.querySelector('.tabs')")
    add_steps(run, range(STEPS + 1, STEPS + 3), 500)
    shown(page, "1,303 responses")
    assert page.value("document.querySelectorAll('.row').length") < 60  # only those in sight
    assert "row=0" in page.value("location.hash")

    go(page, "#overview")
    page.wait("document.querySelector('.runs')?.textContent.includes('ppo step 33')")
    add_steps(run, range(STEPS + 3, STEPS + 4))
    page.wait("document.querySelector('.runs').textContent.includes('ppo step 34')")


def test_an_open_page_shows_what_a_run_begins_and_how_it_ends(
    browser: BrowserPage, tmp_path: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    run = made_run(tmp_path / "tiny.yaml", tmp_path / "run")
    browser.size(1280, 900)
    browser.open(served(run) + "#responses")
    browser.wait("document.querySelector('main')?.textContent.includes('No responses yet')")
    add_steps(run, range(1))
    shown(browser, "10 responses")

    add_samples(run, "sft", "sums", {"a": 1.0})
    browser.wait("document.querySelector('.files')?.options.length === 2")
    assert browser.value("document.querySelector('.files').value") == "0/0"

    go(browser, "#compare")
    browser.wait("document.querySelector('main')?.textContent.includes('To compare')")
    add_samples(run, "ppo", "sums", {"a": 0.0})
    browser.wait("document.querySelectorAll('.row').length === 1")

    # No row of metrics comes with an end.
    go(browser, "#overview")
    browser.wait("document.querySelector('.runs')")
    open_run(run.root).update(state="failed", message="the disk is full")
    browser.wait("document.querySelector('.runs')?.textContent.includes('the disk is full')")
    assert browser.errors == [] and browser.text("#error") == ""
