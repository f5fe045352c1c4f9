"""Keeps off standard error what TensorFlow, CUDA and TensorBoard print at every start; all else goes through.

They print from C++, before any setting of theirs is read, so their lines are taken out of the stream. A process does
that and not a thread: what a program says as it aborts (a CPU without AVX, no memory) would be lost with its threads.
Run as a program this file is that process, on the standard library alone: lines from standard input to standard output.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import sys
from collections.abc import Iterator

_PARTIAL_SECONDS = 0.2  # a line that is not ended by then, a progress bar's, goes through as it is
_END_SECONDS = 2.0  # for the last lines to come through
_GLOG = rb"\d{4} \d\d:\d\d:\d+\.\d+ +\d+ \S+:\d+\] "
_OLDER = rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: "
# Warnings and "errors" that tell of no fault: no GPU, a kernel that is not in oneDNN, libraries that register twice.
_HARMLESS = (
    rb"failed call to cuInit: .*(\(303\)|CUDA_ERROR_NO_DEVICE|no CUDA-capable device)",
    rb"oneDNN supports DT_\w+ only on platforms with",
    rb"Unable to register cu(DNN|BLAS|FFT) (factory|plugin)",
    rb"computation placer already registered",
    rb"Could not find (cuda drivers|TensorRT)",
    rb"TF-TRT Warning: Could not find TensorRT",
    rb"Other threads are currently calling into gRPC, skipping fork\(\) handlers",
    rb"FD from fork parent still in poll list",
    rb"Ignored (output_format|drop_control_dependency)\.",
    rb"Could not load dynamic library 'lib(cuda|cudart|nvinfer)\S*'",
)
_NOISE = re.compile(
    rb"(WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR"
    rb"|To enable the following instructions: .*rebuild TensorFlow with the appropriate compiler flags"
    rb"|INFO: Created TensorFlow Lite XNNPACK delegate"
    rb"|TensorFlow installation not found - running with reduced feature set"
    rb"|I" + _GLOG + rb"|" + _OLDER + rb"I "
    rb"|([WE]" + _GLOG + rb"|" + _OLDER + rb"[WE] ).*(" + rb"|".join(_HARMLESS) + rb"))"
)


def is_noise(line: bytes) -> bool:
    """Whether a line of standard error is one that TensorFlow or CUDA prints where nothing is wrong."""
    return _NOISE.match(line) is not None


@contextlib.contextmanager
def filtered() -> Iterator[None]:
    """Standard error without noise for the body's time, that of child processes too."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        sieve = _start(saved)
    except OSError:  # no more processes: noise is better than no start
        os.close(saved)
        yield
        return
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
        with contextlib.suppress(subprocess.TimeoutExpired):  # a child of the body may still hold the other end
            sieve.wait(_END_SECONDS)


def _start(target: int) -> subprocess.Popen[bytes]:
    """Starts the process and makes it standard error. Its own session: Ctrl-C ends what writes, then what reads."""
    read, write = os.pipe()
    try:
        command = [sys.executable, "-I", "-S", __file__]
        sieve = subprocess.Popen(command, stdin=read, stdout=target, stderr=target, start_new_session=True)
        os.dup2(write, 2)
    finally:
        os.close(read)
        os.close(write)
    return sieve


def _sieve() -> None:
    """Copies standard input to standard output until its end, but for noise."""
    held = b""
    while True:
        if held and not select.select([0], [], [], _PARTIAL_SECONDS)[0]:
            _write(held)
            held = b""
        piece = os.read(0, 2**16)
        *lines, held = (held + piece).split(b"\n")
        if not piece:
            lines, held = [held] if held else [], b""
            _write(b"".join(line for line in lines if not is_noise(line)))
            return
        _write(b"".join(line + b"\n" for line in lines if not is_noise(line)))


def _write(content: bytes) -> None:
    with contextlib.suppress(OSError):  # nobody reads any more: what writes must not be stopped by that
        while content:
            content = content[os.write(1, content) :]


if __name__ == "__main__":
    _sieve()
