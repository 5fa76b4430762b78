"""Time to open a run of 1,000 steps and 10,000 rollouts in `rlsp view`, and memory of server and page.

    python benchmarks/view.py [STEPS] [RESPONSES_A_STEP] [WORDS_A_RESPONSE]

The run is made, not trained. Chromium opens the page as a person does, in a window of 1,280 by 900.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.browser_page import BrowserPage, browser_page
from tests.conftest import TINY
from tests.made_run import add_steps, made_run

_MIB = 1 << 20


def main() -> None:
    steps, responses, words = (*map(int, sys.argv[1:]), *(1000, 10, 400)[len(sys.argv) - 1 :])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tiny.yaml").write_text(TINY)
        run = made_run(folder / "tiny.yaml", folder / "run")
        add_steps(run, range(steps), responses, words)
        size = run.stage("ppo").rollouts.stat().st_size / _MIB
        print(f"{steps} steps, {steps * responses} rollouts, {size:.0f} MiB")

        server, address = _server(run.root)
        try:
            with browser_page(folder) as page:
                page.size(1280, 900)
                _open(page, address, steps * responses, server.pid)
                _use(page, steps * responses)
            print(f"server: {_resident(server.pid) / _MIB:.0f} MiB")
        finally:
            server.terminate()


def _server(root: Path) -> tuple["subprocess.Popen[str]", str]:
    start = time.perf_counter()
    words = [sys.executable, "-m", "rlsp_cli", "view", str(root)]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    address = server.stdout.readline().split()[-1]
    print(f"server starts: {time.perf_counter() - start:.2f} s")
    print(f"server, before a page: {_resident(server.pid) / _MIB:.0f} MiB")
    return server, address


def _open(page: BrowserPage, address: str, rows: int, server: int) -> None:
    whole = f"document.querySelector('.count')?.textContent.includes('{rows:,} responses')"
    _timed(page, "curves", address, "document.querySelectorAll('.chart').length > 5")
    page.open("about:blank")
    before = _computed_s(server)
    _timed(page, "list of all rollouts", f"{address}#responses", whole)
    print(f"of it, the server computes: {_computed_s(server) - before:.2f} s")


def _use(page: BrowserPage, rows: int) -> None:
    print(f"frames while scrolling through them: {page.value(_SCROLLED):.1f} ms on average")

    page.value("location.hash = '#responses?sort=-reward&right=wrong'")
    start = time.perf_counter()
    page.wait(f"document.querySelector('.count').textContent.includes('of {rows:,}')")
    print(f"filtered and sorted: {time.perf_counter() - start:.2f} s")

    start = time.perf_counter()
    page.value("location.hash = '#responses?q=nowhere%20to%20be%20found'")
    page.wait("document.querySelector('.count').textContent.startsWith('0 of')")
    page.wait("!document.querySelector('.count').textContent.includes('searching')")
    print(f"searched through all texts: {time.perf_counter() - start:.2f} s")

    start = time.perf_counter()
    page.wait("!document.querySelector('.count').textContent.includes('behaviours')", 300)
    print(f"behaviours counted, behind the page: {time.perf_counter() - start:.2f} s more")

    page.send("HeapProfiler.collectGarbage")
    metrics = {one["name"]: one["value"] for one in page.send("Performance.getMetrics")["metrics"]}
    print(
        f"page: {metrics['JSHeapUsedSize'] / _MIB:.0f} MiB of JavaScript, {metrics['Nodes']:.0f} nodes"
    )


_SCROLLED = """
new Promise((resolve) => {
  const list = document.querySelector('.list'), start = performance.now();
  let frames = 0;
  const next = () => {
    list.scrollTop += 2000;
    frames += 1;
    if (frames < 120) requestAnimationFrame(next);
    else resolve((performance.now() - start) / frames);
  };
  requestAnimationFrame(next);
})"""


def _timed(page: BrowserPage, what: str, address: str, condition: str) -> None:
    start = time.perf_counter()
    page.open(address)
    page.wait(condition)
    print(f"{what}: {time.perf_counter() - start:.2f} s")


def _computed_s(pid: int) -> float:
    """Seconds on a processor, which other programs on the machine do not lengthen."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
