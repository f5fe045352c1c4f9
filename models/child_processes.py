"""Child processes that end with their parent (standard library only)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# Linux kills a process whose parent has gone where the process asked for it (PR_SET_PDEATHSIG is 1), and goes on to do
# so after `exec`. A parent that went before the child could ask has left it to another parent already.
_TIE = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def tied(command: Sequence[str]) -> list[str]:
    """The command for a child that does not outlive this process, whatever ends it: SIGKILL, too.

    The child must be started from a thread that lives as long as the child shall. Elsewhere than on Linux the command
    runs as it is: there only what `subprocess` does itself ends the child.

    See prctl(2). A `preexec_fn` would do the same, and may hang where the parent has threads.
    """
    return [sys.executable, "-I", "-S", "-c", _TIE, str(os.getpid()), *command]
