"""The end of a debug run that an exception ended: pdb on a terminal, else the traceback. Standard library only."""

from __future__ import annotations

import pdb
import sys
import traceback

from models.errors import TransomError
from pipeline.terminal import streams


def end_debugging(error: Exception, *, in_training: bool, as_json: bool, verbose: bool) -> int:
    """Opens pdb at the frame that raised, if a person is there to use it; returns the exit code for when they leave it.

    An error of ours from before the training says what to do, and there is nothing to look at.

    Args:
        in_training: whether the training had begun.
        verbose: then the command line prints tracebacks anyway.

    Raises:
        Exception: `error`, if there is no terminal, or nothing to look at.
    """
    origin = _origin(error)
    ours = isinstance(origin, TransomError)
    if ours and not in_training:
        raise error
    lines = "".join(traceback.format_exception(origin)).rstrip()
    if as_json or not (sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()):
        if not (ours or verbose):
            streams.print_message(lines)
        raise error
    known = error if isinstance(error, TransomError) else None
    streams.print_message(lines if known is None or not ours else f"transom: {known.render()}")
    streams.print_message("pdb at the frame that raised: `up`, `p NAME`, `l`; `q` leaves it")
    pdb.post_mortem(origin.__traceback__)
    return 1 if known is None else known.exit_code


def _origin(error: BaseException) -> BaseException:
    """The exception that another was raised for."""
    while error.__cause__ is not None and error.__cause__.__traceback__ is not None:
        error = error.__cause__
    return error
