"""`pet data`: the data sets of the sample jobs. The work is the trainer's: it knows the files and the readers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from pet_operator.cli.output import Exit

data = typer.Typer(no_args_is_help=True, help="Data sets for the samples.", rich_markup_mode=None)

Name = Annotated[str, typer.Argument(help="The data set, for example fashion-mnist.")]
Root = Annotated[
    Path, typer.Option("--data", envvar="PETJOB_DATA_DIR", metavar="DIR", help="The root of all data sets.")
]


@data.command()
def fetch(name: Name, root: Root = Path("data")) -> None:
    """Get a data set, checked by SHA-256, from wherever it can be had. What is there already is kept."""
    command = [sys.executable, "-m", "pet.data.fetch", f"--data={root}", "--", name]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, errors="backslashreplace", check=False)
    print(done.stdout, end="")
    raise typer.Exit(done.returncode if done.returncode in set(Exit) else Exit.FAILED)
