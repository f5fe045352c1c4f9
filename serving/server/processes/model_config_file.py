"""Polls --model_config_file.

TF Serving reloads at every poll, which would soon undo a configuration that came over gRPC. Transom reloads the file
when its content has changed.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from serving.errors import OptionsError, StatusError
from serving.server.flag_files import read_model_config
from serving.server.options import ServerOptions

LOG = logging.getLogger("serving")


class ModelConfigFile:
    """See the module.

    Attributes:
        poll_seconds: between two checks, None for no polling.
        due: when to call `read_if_changed`, by `time.monotonic()`; None for never.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._path, self._known = options.model_config_file, options.models
        seconds = options.model_config_file_poll_wait_seconds
        self.poll_seconds = seconds if self._path is not None and seconds > 0 else None
        self.due = None if self.poll_seconds is None else time.monotonic() + self.poll_seconds
        self._problem = ""

    def read_if_changed(self, now: float) -> Any | None:
        """The file's `ModelServerConfig`, if a check is due and it differs from the last one. Each error is logged
        once."""
        if self.due is None or self.poll_seconds is None or self._path is None or now < self.due:
            return None
        self.due = now + self.poll_seconds
        try:
            config = read_model_config(self._path)
        except OptionsError as error:
            self._log_once(f"Failed to read ModelServerConfig file: {error}")
            return None
        if config.WhichOneof("config") is None:
            # Most likely it is being written: editors and `>` empty a file first.
            self._log_once(f"--model_config_file {self._path} is empty: the models stay as they are")
            return None
        self._problem = ""
        if config == self._known:
            return None
        self._known = config
        return config

    def _log_once(self, problem: str) -> None:
        if problem != self._problem:
            LOG.error("%s", problem)
        self._problem = problem

    def log_result(self, failure: StatusError | None) -> None:
        """Logs how the reload ended: None for success."""
        if failure is None:
            LOG.info("%s has changed and is in force", self._path)
        else:
            LOG.error("PollFilesystemAndReloadConfig failed to ReloadConfig: %s", failure.message)
