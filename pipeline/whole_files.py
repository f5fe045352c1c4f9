"""Files that are complete whenever they are read. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(file: Path, text: str) -> None:
    """Writes a file at once, also over a former one; another process sees the former or the new text.

    Raises:
        OSError: it cannot be written; the former one is still there.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
