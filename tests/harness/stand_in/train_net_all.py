"""Stands in for the trainer where a test is about the operator: its contract without a training, in milliseconds.

It is the `tools/train_net_all.py` of `harness.stage`. It answers `/status` as a launcher whose ranks
have made their first steps, says nothing new after that, and ends with the code that it finds in one of the files
`<namespace>.<pod>` and `<namespace>.<job>` below $STAND_IN, or with 143 on SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ITERATION, MAX_ITERATIONS = 10, 20
_CLASSES = {0: "Succeeded", 1: "AppError", 78: "ConfigError", 139: "Crash", 143: "Preempted"}
_POLL_SECONDS = 0.05

_env = os.environ
_node, _attempt = int(_env["PET_NODE_RANK"]), int(_env["PETJOB_ATTEMPT"])
_ranks = int(_env["PET_NPROC_PER_NODE"])
_CHECKPOINT = {"iteration": ITERATION, "file": f"model_iter{ITERATION}.pth", "bytes": 1, "verified": True}


def status() -> dict[str, Any]:
    """The document; the one launcher that holds rank 0 tells of the job as a whole."""
    ranks = [
        {"rank": _node * _ranks + local, "localRank": local, "iteration": ITERATION, "section": "step",
         "collective": 0, "silentSeconds": 0.1, "lastStepAgeSeconds": 0.1, "dataSeconds": 0.0}
        for local in range(_ranks)
    ]  # fmt: skip
    numbers = {
        "iteration": ITERATION, "maxIterations": MAX_ITERATIONS, "epoch": None, "losses": {"total": 0.5},
        "learningRate": 0.1, "samplesPerSecond": 100.0, "etaSeconds": 3600.0, "stepSeconds": 0.1, "metrics": None,
        "checkpoint": {**_CHECKPOINT, "ageSeconds": 0.0},
    }  # fmt: skip
    return {
        "schema": 1, "uid": _env["PETJOB_UID"], "name": _env["PETJOB_NAME"], "nodeIndex": _node, "attempt": _attempt,
        "restarts": 0, "state": "training", "script": "tools/tasks/cls/train_net.py",
        "worldSize": int(_env["PET_NNODES"]) * _ranks, "resumedFrom": None, "accounting": None, "ranks": ranks,
        "failures": [], **(numbers if _node == 0 else dict.fromkeys(numbers)),
    }  # fmt: skip


class _Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(status()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def end(code: int) -> None:
    """Leave the termination message and go."""
    succeeded = code == 0
    report = {
        "schema": 1, "class": _CLASSES[code], "exitCode": code, "attempt": _attempt, "restart": 0, "restartsLeft": None,
        "rank": None if succeeded else _node * _ranks, "type": "" if succeeded else "StandIn",
        "message": "" if succeeded else f"told to end with {code}", "traceback": "", "signalledByUs": [],
        "iteration": (MAX_ITERATIONS if succeeded else ITERATION) if _node == 0 else None,
        "savedIteration": None, "checkpoint": None, "metrics": {"top1": 0.9} if succeeded and _node == 0 else None,
        "progress": {"maxIterations": MAX_ITERATIONS, "resumedFrom": None, "losses": {"total": 0.5}},
    }  # fmt: skip
    Path(_env["PETJOB_TERMINATION_LOG"]).write_text(json.dumps(report))
    sys.exit(code)


def main() -> None:
    """Serve until told to end."""
    signal.signal(signal.SIGTERM, lambda *_: end(143))
    server = ThreadingHTTPServer((_env["PETJOB_BIND_ADDRESS"], int(_env["PETJOB_METRICS_PORT"])), _Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    names = (_env["PETJOB_POD_NAME"], _env["PETJOB_NAME"])
    orders = [Path(_env["STAND_IN"], f"{_env['PETJOB_NAMESPACE']}.{name}") for name in names]
    while True:
        for order in orders:
            if order.exists() and (code := order.read_text()):
                end(int(code))
        time.sleep(_POLL_SECONDS)


if __name__ == "__main__":
    main()
