"""The error of a bundle on a device, and the base of all errors that a user can cause (standard library only).

`models/errors.py` has the whole tree. These two are here because this folder imports nothing from the project.
"""

from __future__ import annotations


class TransomError(Exception):
    """An error that a person can act on.

    Args:
        what: what is wrong, by name ("data.train", "row 17 of reviews.csv").
        got: what was found.
        expected: what would be right.
        fix: what to do.
    """

    exit_code = 1

    def __init__(self, what: str, *, got: str = "", expected: str = "", fix: str = "") -> None:
        self.what, self.got, self.expected, self.fix = what, got, expected, fix
        super().__init__(self.render())

    def render(self) -> str:
        """The message, one line per part; empty parts are left out."""
        parts = (("got", self.got), ("expected", self.expected), ("to fix", self.fix))
        lines = [self.what, *(f"  {name}: {value}" for name, value in parts if value)]
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        # Beam and multiprocessing pickle exceptions; by default, unpickling would call __init__ with the rendered text.
        return _rebuild, (type(self), self.what, self.got, self.expected, self.fix), vars(self)


def _rebuild(kind: type[TransomError], what: str, got: str, expected: str, fix: str) -> TransomError:
    return kind(what, got=got, expected=expected, fix=fix)


class ModelError(TransomError):
    exit_code = 7
