"""`make release VERSION=x.y.z`: check, build, commit and tag a release. It pushes and uploads nothing."""

import os
import re
import subprocess
import sys
import tempfile
import venv
import zipfile
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent
CHANGELOG, CITATION, INIT = (
    ROOT / name for name in ("CHANGELOG.md", "CITATION.cff", "rlsp_cli/__init__.py")
)
WRITTEN = (CHANGELOG, CITATION, INIT)
NOTHING = "Nothing yet."


def main(version: str, checks: list[str]) -> None:
    """The whole release; SystemExit with one line where something stands against it."""
    if problem := refusal(version):
        sys.exit(f"release: {problem}")
    if checks and subprocess.run(["make", *checks], cwd=ROOT, check=False).returncode:
        sys.exit(f"release: `make {' '.join(checks)}` failed; nothing was written")

    write(version)
    try:
        built = build(version)
    except (subprocess.CalledProcessError, AssertionError) as error:
        git("checkout", "--quiet", "--", *map(str, WRITTEN))
        sys.exit(f"release: {error}; the tree is as it was")

    git("commit", "--quiet", "--message", f"release: {version}", *map(str, WRITTEN))
    git("tag", "--annotate", f"v{version}", "--message", f"rlsp {version}")
    files = " ".join(str(file.relative_to(ROOT)) for file in built)
    print(
        f"v{version} is tagged here. To publish it:\n    git push --follow-tags\n    twine upload {files}"
    )


def refusal(version: str) -> str | None:
    """Why this version cannot be released now; None if it can."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        return f"VERSION={version!r}: expected three numbers, such as 0.2.0"
    if git("status", "--porcelain"):
        return "the tree has changes; commit or stash them (`git status` lists them)"
    if git("tag", "--list", f"v{version}"):
        return f"the tag v{version} is there already"

    # The first release may have the version that the code has had so far.
    if git("tag", "--list", "v*") and _numbers(version) <= _numbers(current()):
        return f"VERSION={version} is not above {current()}"
    if not unreleased():
        return "CHANGELOG.md has no entries under Unreleased"
    return None


def current() -> str:
    """The version in the code."""
    found = re.search(r'^__version__ = "(.+)"$', INIT.read_text(), re.MULTILINE)
    assert found, f"{INIT}: no __version__"
    return found[1]


def unreleased() -> str:
    """The entries for the next version; an empty text if there are none."""
    after = CHANGELOG.read_text().partition("\n## Unreleased\n")[2]
    entries = after.partition("\n## ")[0].strip()
    return "" if entries == NOTHING else entries


def write(version: str) -> None:
    """Write the version where it stands, and give the entries of the changelog their heading."""
    INIT.write_text(INIT.read_text().replace(f'"{current()}"', f'"{version}"'))
    cited = re.sub(
        r"^version: .*$", f"version: {version}", CITATION.read_text(), flags=re.MULTILINE
    )
    CITATION.write_text(cited)

    heading = f"## {version} ({datetime.now(UTC).date()})"
    headings = f"\n## Unreleased\n\n{NOTHING}\n\n{heading}\n"
    CHANGELOG.write_text(CHANGELOG.read_text().replace("\n## Unreleased\n", headings, 1))


def build(version: str) -> list[Path]:
    """Build sdist and wheel into dist/, and check both; AssertionError for what is wrong."""
    for old in (ROOT / "dist").glob("*"):
        old.unlink()
    python("-m", "build", "--no-isolation", "--outdir", "dist")
    wheel, sdist = (
        ROOT / "dist" / f"rlsp-{version}{end}" for end in ("-py3-none-any.whl", ".tar.gz")
    )
    python("-m", "twine", "check", "--strict", str(wheel), str(sdist))

    # The wheel is built from the sdist, so this looks through both.
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("rlsp_cli/_share/recipes/quickstart.yaml", f"rlsp-{version}.dist-info/METADATA"):
        assert name in names, f"{wheel.name} lacks {name}"

    with tempfile.TemporaryDirectory() as folder:
        said = installed_version(wheel, Path(folder))
    assert said == version, f"the installed wheel says that it is {said!r}"
    return [wheel, sdist]


def installed_version(wheel: Path, folder: Path) -> str:
    """What `rlsp --version` says in a new environment with the wheel and its dependencies."""
    venv.create(folder, with_pip=True)
    constraints = ("--constraint", str(ROOT / "constraints.txt"))
    run([str(folder / "bin/python"), "-m", "pip", "install", "--quiet", *constraints, str(wheel)])
    done = subprocess.run(
        [str(folder / "bin/rlsp"), "--version"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def python(*arguments: str) -> None:
    """Run Python's module in this environment."""
    run([sys.executable, *arguments])


def run(command: list[str]) -> None:
    """Run a command; its output is for the person who releases."""
    subprocess.run(command, cwd=ROOT, check=True)


def git(*arguments: str) -> str:
    """What git says."""
    command = ["git", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("release: which version? make release VERSION=0.2.0")
    main(sys.argv[1], os.environ["CHECKS"].split())
