"""The errors of a bundle on a device, and the base of all errors that a user can cause (standard library only).

`models/errors.py` has the whole tree. They are defined here because this folder imports nothing of the project.
"""

from __future__ import annotations


class TransomError(Exception):
    """An error with four parts that a person can act on.

    Args:
        what: the thing that is wrong, by name ("data.train", "row 17 of reviews.csv").
        got: what was found.
        expected: what would have been right.
        fix: what to do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, got: str = "", expected: str = "", fix: str = "") -> None:
        self.what, self.got, self.expected, self.fix = what, got, expected, fix
        super().__init__(self.render())

    def render(self) -> str:
        """The message, one line a part; parts that were not given are left out."""
        parts = (("got", self.got), ("expected", self.expected), ("to fix", self.fix))
        lines = [self.what, *(f"  {name}: {value}" for name, value in parts if value)]
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        # Beam and multiprocessing pickle exceptions; the default would call __init__ with the rendered text.
        return _rebuild, (type(self), self.what, self.got, self.expected, self.fix)


def _rebuild(kind: type[TransomError], what: str, got: str, expected: str, fix: str) -> TransomError:
    return kind(what, got=got, expected=expected, fix=fix)


class ModelError(TransomError):
    exit_code = 7
