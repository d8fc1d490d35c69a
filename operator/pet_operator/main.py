"""The `pet-operator` program. The controller is not part of this release; the program says so."""

from __future__ import annotations

import argparse
import sys

from pet import __version__


def main() -> None:
    """Answer `--version` and `--help`; anything else ends with exit code 2."""
    parser = argparse.ArgumentParser(prog="pet-operator", description="The Kubernetes controller of PetTrainingJobs.")
    parser.add_argument("--version", action="version", version=f"pet-operator {__version__}")
    parser.parse_args()
    print(
        f"pet-operator: release {__version__} has no controller yet, so there is nothing to start.\n"
        "The same job file runs without a cluster: pet run --local -f job.yaml",
        file=sys.stderr,
    )
    sys.exit(2)


if __name__ == "__main__":
    main()
