"""`python -m rlsp_cli` is `rlsp`."""

from rlsp_cli.cli import main

main()
