"""`python -m pet.data.fetch NAME --data DIR`: the program behind `pet data fetch`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pet.config.environment import JobEnvironment
from pet.config.errors import ConfigError
from pet.data.fetch import fetch
from pet.data.fetch.errors import FetchError
from pet.data.fetch.registry import DATASETS
from pet.runfiles.exits import ExitCode


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: the data set is there. 1: no source had it. 78: no such data set, or no folder for it. 130: Ctrl-C.

    The folder goes to stdout.
    """
    parser = argparse.ArgumentParser(prog="python -m pet.data.fetch", description="Fetch the data of a sample job.")
    parser.add_argument("name", help=f"one of: {', '.join(sorted(DATASETS))}")
    parser.add_argument(
        "--data",
        default=JobEnvironment().data_dir,
        metavar="DIR",
        help="folder of all data sets (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    try:
        print(fetch(options.name, options.data, report=lambda line: print(line, file=sys.stderr)))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return int(ExitCode.CONFIG_ERROR)
    except FetchError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
