"""The live line fits any terminal, and keeps what matters most."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from pipeline.terminal.live_line import live_line

NOTE = "epoch 2/4, step 412/1000, 3 min 05 s left, 1936 tokens/s, loss 0.4321"


@pytest.mark.parametrize("note", [NOTE, "", "語" * 30, ", ".join(["日本語のスライス"] * 5), "x" * 300])
@pytest.mark.parametrize("width", [200, 110, 80, 60, 40, 20, 5])
def test_the_live_line_fits_any_terminal(note: str, width: int) -> None:
    for place in ("", "10 of 15"):
        line = live_line("TokenizerTrainer", 12345.6, note, width, place)
        assert cell_len(line.plain.rstrip()) <= width
        assert "\n" not in line.plain


def test_the_least_important_parts_are_left_out_first() -> None:
    shown = [live_line("Trainer", 183.0, NOTE, width).plain for width in (120, 80, 64, 44, 24)]
    assert shown[0] == f"  … {'Trainer':<18}   183.0 s   {NOTE}"
    assert shown[1] == "  … Trainer 183 s   epoch 2/4, step 412/1000, 3 min 05 s left, 1936 tokens/s"
    assert shown[2].endswith("step 412/1000, 3 min 05 s left")
    assert shown[3].endswith("epoch 2/4, step 412/1000")
    assert shown[4].rstrip() == "  … Trainer 183 s"
    placed = [live_line("Trainer", 183.0, NOTE, width, "9 of 15").plain for width in (130, 64)]
    assert placed == [
        f"  … {'Trainer':<18}   183.0 s   9 of 15   {NOTE}",
        "  … Trainer 183 s   9 of 15   epoch 2/4, step 412/1000",
    ]
