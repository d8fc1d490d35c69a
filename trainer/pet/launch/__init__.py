"""The launcher: one per node. Starts the ranks, watches them, restarts them, and shows how they are doing.

`tools/train_net_all.py` → `signals` → `main` → `plan` (what to start) → `agent` (torch's elastic agent, in a thread of
its own) → `supervisor` → `ranks`; `watchdog` and `hang` for ranks that do nothing. `endpoints` serves what `record`
knows. Imports neither engine nor models.
"""
