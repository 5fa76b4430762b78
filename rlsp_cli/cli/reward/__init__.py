"""`rlsp reward try|diff|select|audit|serve`."""

from rlsp_cli.cli.command import Commands
from rlsp_cli.cli.reward.attempt import try_
from rlsp_cli.cli.reward.audit import audit
from rlsp_cli.cli.reward.diff import diff
from rlsp_cli.cli.reward.select import select
from rlsp_cli.cli.reward.serve import serve

_EPILOG = "Exit codes: docs/errors.md"

app = Commands("Try, compare, attack and serve a recipe's rewards.")
app.command("try", epilog=_EPILOG)(try_)
for command in (diff, select, audit, serve):
    app.command(epilog=_EPILOG)(command)
