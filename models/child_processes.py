"""Child processes that end with their parent (standard library only)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG
# On request, Linux kills a process when its parent ends, also after `exec`. If the parent ended
# before the request, the child has another parent already.
_TIE = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def tied_to_parent(command: Sequence[str]) -> list[str]:
    """The command for a child that does not outlive this process, even if SIGKILL ends it.

    The thread that starts the child must live as long as the child should. On systems other than Linux the command runs
    unchanged: there, only `subprocess` itself ends the child.

    See prctl(2). A `preexec_fn` would do the same, but may hang if the parent has threads.
    """
    return [sys.executable, "-I", "-S", "-c", _TIE, str(os.getpid()), *command]


def tie_forked(parent: int) -> None:
    """Has a forked process end with its parent, and leaves the parent's signals to that. Linux only.

    Args:
        parent: its process id. If it has ended before this call, so does this process.
    """
    signal.set_wakeup_fd(-1)  # its other end is the parent's
    ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
