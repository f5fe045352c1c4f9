"""The errors of serving, with the same four parts as the rest of the house (standard library only).

ServingError
└── PublishError    a model cannot be put under a base path, or taken from it; what was served is still there
"""

from __future__ import annotations


class ServingError(Exception):
    """An error with four parts that a person can act on.

    Args:
        what: the thing that is wrong, by name.
        got: what was found.
        expected: what would have been right.
        fix: what to do about it.
    """

    def __init__(self, what: str, *, got: str = "", expected: str = "", fix: str = "") -> None:
        self.what, self.got, self.expected, self.fix = what, got, expected, fix
        parts = (("got", got), ("expected", expected), ("to fix", fix))
        super().__init__("\n".join([what, *(f"  {name}: {value}" for name, value in parts if value)]))


class PublishError(ServingError):
    pass
