"""The error of this package: a stable code, what happened, and what to do. The codes are those of the npm packages."""

from __future__ import annotations

from typing import Any


class CheckpointEngineError(Exception):
    """A failure that a caller may want to handle. Misuse of a function is a `TypeError` or a `ValueError` instead.

    `detail` is a traceback or another long text.
    """

    def __init__(self, code: str, what: str, hint: str, *, detail: str | None = None) -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.hint = hint
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.what}. {self.hint}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (self.code, self.what, self.hint, self.detail))


def _rebuild(code: str, what: str, hint: str, detail: str | None) -> CheckpointEngineError:
    return CheckpointEngineError(code, what, hint, detail=detail)
