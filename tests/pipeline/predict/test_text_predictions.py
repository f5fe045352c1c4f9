"""What `transom predict` shows on a terminal while the user waits."""

from __future__ import annotations

import os
import sys

import pytest

from pipeline.predict.text_predictions import _Progress


def test_a_wait_for_the_model_is_told_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w", encoding="utf-8") as terminal, os.fdopen(ours, "rb", buffering=0) as shown:
        monkeypatch.setattr(sys, "stderr", terminal)
        with _Progress(1) as progress:
            progress.loading()
            assert shown.read(100) == b"\rloading the model\x1b[K"
            progress.start()
            assert shown.read(100) == b"\r\x1b[K"


def test_no_wait_is_told_where_standard_error_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with _Progress(1) as progress:
        progress.loading()
        progress.start()
        progress.reached(1)
    assert capfd.readouterr() == ("", "")
