"""Train what a configuration describes: picks its training script and runs it on every device of this machine.

python tools/train_net_all.py --cfg cfgs/tasks/cls/FashionMNIST/slim_resnet_1x.yaml SOLVER.OPTIMIZER.BASE_LR 0.1
"""

from __future__ import annotations

import sys
from pathlib import Path

from pet.launch.streams import open_missing_streams

open_missing_streams()  # before the pipe of the signals is

from pet.launch.signals import install_handlers

install_handlers()  # before the imports that take seconds: a stop signal must never be lost


def main() -> None:
    """Hand over to the launcher; does not return."""
    from pet.launch.main import run

    run(sys.argv[1:], tools=Path(__file__).resolve().parent)


if __name__ == "__main__":
    main()
