"""The `pet` program, which kubectl also finds as its plug-in `kubectl pet`: all commands, in one place."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pet import __version__
from pet.config import ConfigError, Problem
from pet_operator.cli import output, plan, streams
from pet_operator.cli.cluster.listing import list_jobs
from pet_operator.cli.cluster.status import status
from pet_operator.cli.cluster.wait import wait
from pet_operator.cli.data import data
from pet_operator.cli.local.command import run

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("plan")(plan.plan)
app.command("run")(run)
app.command("status")(status)
app.command("list")(list_jobs)
app.command("wait")(wait)
app.add_typer(data, name="data")


def _print_version(asked: bool) -> None:
    if asked:
        print(f"pet {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Train vision models from one job file, on this machine and on Kubernetes."""


def main() -> None:
    """Run one command. Exit codes: 0 good, 1 failed, 2 usage, 78 invalid job or configuration, 130 stopped."""
    streams.take_over()
    try:
        app(prog_name=program_name(sys.argv[0]))
    except ConfigError as error:
        output.report(error.problems)
        sys.exit(output.Exit.INVALID)
    except streams.ResultLost as error:
        output.report([Problem("stdout", str(error))])
        sys.exit(output.Exit.FAILED)


def program_name(called_as: str) -> str:
    """What the usage lines call us: kubectl runs its plug-ins by their file name, `kubectl-pet`."""
    return "kubectl pet" if Path(called_as).name.startswith("kubectl-pet") else "pet"


if __name__ == "__main__":
    main()
