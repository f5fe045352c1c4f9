from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.whole_files import write_whole


def test_a_file_is_replaced_at_once_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.json"
    write_whole(file, "one")
    write_whole(file, "two")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]

    def full(path: Path, text: str, encoding: str) -> None:
        path.write_bytes(text.encode(encoding)[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(file, "three")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.json", "two")]
