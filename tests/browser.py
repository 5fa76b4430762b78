"""Chromium, where there is one, to see what a page becomes."""

import shutil
import subprocess
from pathlib import Path

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
)


def told_by_browser(html: str, expression: str, folder: Path, fragment: str = "") -> str:
    """What a JavaScript expression is on the page once it is laid out; skips without Chromium.

    `fragment` is the id of an element that the page is opened at.
    """
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("no chromium on this machine")

    told = f"document.body.dataset.told = 'told ' + ({expression}) + ' end'"
    probe = f"<script>addEventListener('load', () => setTimeout(() => {{ {told} }}, 50))</script>"
    page = folder / "probe.html"
    page.write_text(html.replace("</body>", f"{probe}</body>"))

    address = page.as_uri() + (f"#{fragment}" if fragment else "")
    words = [browser, *FLAGS, f"--user-data-dir={folder / 'profile'}"]
    words += ["--virtual-time-budget=2000", "--dump-dom", address]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.partition('data-told="told ')[2].partition(" end")[0]
