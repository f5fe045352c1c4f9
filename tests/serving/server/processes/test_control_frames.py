import pytest

from serving.server.processes.control_frames import (
    MAX_BYTES,
    BadFrameError,
    FrameKind,
    encode_frame,
    pop_frames,
)


def test_frames_are_bounded():
    buffer = bytearray(encode_frame(FrameKind.REPLY, 7, b"abc") + encode_frame(FrameKind.READY, 0)[:-1])
    assert pop_frames(buffer) == [(FrameKind.REPLY, 7, b"abc")]
    assert len(buffer) == 12
    for wrong in (bytes([255] * 13), encode_frame(FrameKind.REPLY, 1)[:4] + b"\x63" + bytes(8)):
        with pytest.raises(BadFrameError, match=str(MAX_BYTES)):
            pop_frames(bytearray(wrong))
