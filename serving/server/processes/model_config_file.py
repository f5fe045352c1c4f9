"""--model_config_file, looked at again and again.

TF Serving reloads at every poll; a configuration that came over gRPC in between would not live long. Here a file is
reloaded when its content has changed.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from serving.errors import OptionsError, StatusError
from serving.server.flag_files import read_model_config
from serving.server.options import ServerOptions
from serving.server.processes.frames import failure

LOG = logging.getLogger("serving")


class ConfigFile:
    """See the module.

    Attributes:
        seconds: between two looks, None for never.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._path, self._known = options.model_config_file, options.models
        seconds = options.model_config_file_poll_wait_seconds
        self.seconds = seconds if self._path is not None and seconds > 0 else None
        self._due = None if self.seconds is None else time.monotonic() + self.seconds
        self._problem = ""

    def due(self) -> float | None:
        """When `changed` should be called, by `time.monotonic()`; None for never."""
        return self._due

    def changed(self, now: float) -> Any | None:
        """What the file says, if that is due and something else than before; what is wrong with it is logged once."""
        if self._due is None or self.seconds is None or self._path is None or now < self._due:
            return None
        self._due = now + self.seconds
        try:
            config = read_model_config(self._path)
        except OptionsError as error:
            if str(error) != self._problem:
                LOG.error("Failed to read ModelServerConfig file: %s", error)
            self._problem = str(error)
            return None
        self._problem = ""
        if config == self._known:
            return None
        self._known = config
        return config

    def tell(self, content: bytes) -> None:
        """Logs how the reload ended; see `frames.failure`."""
        self.log(failure(content))

    def log(self, why: StatusError | None) -> None:
        """Logs how the reload ended: None for well."""
        if why is None:
            LOG.info("%s has changed and is in force", self._path)
        else:
            LOG.error("PollFilesystemAndReloadConfig failed to ReloadConfig: %s", why.message)
