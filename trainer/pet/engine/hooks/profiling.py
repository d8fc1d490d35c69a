"""The hook that profiles a few steps (MISC.PROFILE)."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from pet.config.profile import ProfileWindow
from pet.engine.events import EventStorage
from pet.engine.hooks.base import Priority, TrainHook
from pet.engine.session import Session
from pet.runfiles.heartbeat import Section

logger = logging.getLogger(__name__)


class Profiler(TrainHook):
    """One profiler for the window's steps, after a step to warm up where one comes before; nothing in other steps.

    The trace is for chrome://tracing and Perfetto. It is written when the window ends, or when training ends in it; a
    run that resumes behind the window's beginning profiles nothing.
    """

    priority = Priority.PROFILER

    def __init__(self, session: Session, window: ProfileWindow, folder: str | Path) -> None:
        """Traces go to `folder`/profile."""
        self.session = session
        self.window = window
        self.path = Path(folder, "profile", f"steps{window.first}-{window.last}-rank{session.rank}.json.gz")
        self._profile: profile | None = None

    def before_step(self, storage: EventStorage) -> None:
        """Begin with the window, or with the step before it."""
        warm_up = self.window.first - storage.iter
        if self._profile is None and warm_up in (0, 1):
            activities = [ProfilerActivity.CPU]
            if self.trainer.device.type == "cuda":
                activities.append(ProfilerActivity.CUDA)
            plan = schedule(wait=0, warmup=warm_up, active=self.window.steps, repeat=1)
            self._profile = profile(activities=activities, schedule=plan, on_trace_ready=self._write)
            self._profile.start()

    def after_step(self, storage: EventStorage, **epochs: int) -> None:
        """All that a step does is in its part of the trace, but for a save and an evaluation after it."""
        if self._profile is not None and storage.iter <= self.window.last:
            if self.trainer.device.type == "cuda" and storage.iter == self.window.last:
                torch.cuda.synchronize()  # what the window launched belongs to it
            self._profile.step()
            if storage.iter == self.window.last:
                self._profile.stop()

    def after_train(self, storage: EventStorage) -> None:
        """Write what there is of a window that did not end."""
        if self._profile is not None and storage.iter <= self.window.last:
            self._profile.stop()

    def _write(self, recorded: profile) -> None:
        try:
            with self.session.within(Section.SAVE):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                recorded.export_chrome_trace(str(self.path))
        except (OSError, RuntimeError) as error:
            logger.warning("the profile was not written: %s; training goes on", error)
        else:
            logger.info("the profile of steps %d to %d is in %s", self.window.first, self.window.last, self.path)
