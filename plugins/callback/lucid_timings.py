"""Says at the end of a playbook how long it took and which tasks took longest."""

import json
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: lucid_timings
type: aggregate
short_description: the time a playbook took, and its slowest tasks
description:
  - Prints, after the recap, the whole time and the tasks that took longest, over all hosts together.
options:
  shown:
    description: How many tasks to print; 0 for none.
    type: int
    default: 5
    env:
      - name: LUCID_TIMINGS_SHOWN
    ini:
      - section: callback_lucid_timings
        key: shown
  file:
    description: Where to write the seconds of each task as JSON, by name; empty leaves it out.
    type: str
    default: ""
    env:
      - name: LUCID_TIMINGS_FILE
    ini:
      - section: callback_lucid_timings
        key: file
"""


class CallbackModule(CallbackBase):
    """Ansible makes one for each run of ansible-playbook."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "lucid_timings"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._begun = self._since = time.monotonic()
        self._task = ""
        self._seconds: dict[str, float] = {}

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002 - Ansible's
        """The one before has ended on every host: tasks run one after the other."""
        self._next(task.get_name())

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """A handler takes its time like any task."""
        self._next(f"{task.get_name()} (handler)")

    def v2_playbook_on_stats(self, stats: Any) -> None:  # noqa: ARG002 - Ansible's
        """Prints what was measured."""
        self._next("")
        whole = time.monotonic() - self._begun
        slowest = sorted(self._seconds.items(), key=lambda item: -item[1])[: self.get_option("shown")]
        self._display.banner(f"TIMINGS: {len(self._seconds)} tasks in {whole:.0f} s, the slowest")
        for name, seconds in slowest:
            self._display.display(f"{seconds:6.1f} s  {name}")
        if file := self.get_option("file"):
            Path(file).write_text(json.dumps(self._seconds, indent=2), encoding="utf-8")

    def _next(self, task: str) -> None:
        now = time.monotonic()
        if self._task:
            self._seconds[self._task] = self._seconds.get(self._task, 0.0) + now - self._since
        self._task, self._since = task, now
