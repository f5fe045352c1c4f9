"""The messages to the user, which steps log below the logger "transom": shown, heard, or written to a log."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from pipeline.terminal.console import View
from serving.tensorflow_noise import filtered

IN_LOG = "in_log"
"""A log record with this attribute set is in the log already."""


class _MessageHandler(logging.Handler):
    """Calls a function with the text of each log record, its step ("" if it has none), and its amounts, if any."""

    def __init__(self, handle_message: Callable[..., None]) -> None:
        super().__init__(logging.INFO)
        self._handle_message = handle_message

    def emit(self, record: logging.LogRecord) -> None:
        more = {"amounts": vars(record)["amounts"]} if "amounts" in vars(record) else {}
        self._handle_message(record.getMessage(), getattr(record, "step", ""), **more)


@contextmanager
def silence() -> Iterator[None]:
    """Hides the libraries' messages on standard error, C++ included, except for errors."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with filtered():
            yield
    finally:
        logging.disable(before)


@contextmanager
def shown_messages(view: View) -> Iterator[View]:
    """Shows the messages that steps log for the user below the logger "transom".

    "transom": permanent lines; "transom.figures": permanent lines whose content the run's record has already;
    "transom.progress": the progress of the current step.
    """
    messages_logger, progress_logger = logging.getLogger("transom"), logging.getLogger("transom.progress")
    before = messages_logger.level, messages_logger.propagate, progress_logger.propagate
    messages_logger.setLevel(logging.INFO)
    messages_logger.propagate = progress_logger.propagate = False  # or the libraries' handlers print it too
    try:
        with attached(_MessageHandler(view.say)), attached(_MessageHandler(view.progress), progress_logger):
            yield view
    finally:
        messages_logger.setLevel(before[0])
        messages_logger.propagate, progress_logger.propagate = before[1:]


@contextmanager
def attached(handler: logging.Handler, logger: logging.Logger | None = None) -> Iterator[None]:
    """Gives the handler the records of a logger (default: the messages to the user) in the block, then closes it."""
    logger = logger or logging.getLogger("transom")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def forwarded_messages(handle_message: Callable[[str, str], None]) -> AbstractContextManager[None]:
    """Calls a function with each message to the user in the block, and its step, except for figures and progress."""
    handler = _MessageHandler(handle_message)
    handler.addFilter(lambda record: record.name == "transom")
    return attached(handler)


def log_handler() -> logging.Handler:
    """Writes messages to standard error, which during a run is its log."""
    handler = _StandardError(logging.INFO)
    handler.setFormatter(logging.Formatter("%(asctime)s transom: %(message)s"))
    handler.addFilter(lambda record: not getattr(record, IN_LOG, False))
    return handler


class _StandardError(logging.Handler):
    """Writes to the descriptor, which may be redirected at any time."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):  # the disk is full: the message is still shown
            os.write(2, f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))
