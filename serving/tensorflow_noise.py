"""Filters the messages that TensorFlow, CUDA and TensorBoard print at every start out of standard error.

They are printed from C++ before any of their settings is read, so the lines are removed from the stream. A process does
this and not a thread, because the last words of an aborting program (a CPU without AVX, no memory) would be lost with
its threads. Run as a program, this file is that process: it copies lines from standard input to standard output, using
the standard library alone.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import sys
from collections.abc import Iterator

_PARTIAL_SECONDS = 0.2  # an unfinished line, such as a progress bar, is passed on after this time
_END_SECONDS = 2.0  # for the last lines
_GLOG = rb"\d{4} \d\d:\d\d:\d+\.\d+ +\d+ \S+:\d+\] "
_OLDER = rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: "
# Warnings and "errors" that indicate no problem: no GPU, a kernel missing from oneDNN, libraries registered twice.
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
    """Whether TensorFlow or CUDA prints this line although nothing is wrong."""
    return _NOISE.match(line) is not None


@contextlib.contextmanager
def filtered() -> Iterator[None]:
    """Filters standard error during the block, for child processes too."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        filter_process = _start(saved)
    except OSError:  # no more processes: noise is better than not starting
        os.close(saved)
        yield
        return
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
        with contextlib.suppress(subprocess.TimeoutExpired):  # a child of the block may still hold the other end
            filter_process.wait(_END_SECONDS)


def _start(target: int) -> subprocess.Popen[bytes]:
    """Starts the filter as standard error, in its own session: Ctrl-C ends the writer first, then the filter."""
    read, write = os.pipe()
    try:
        command = [sys.executable, "-I", "-S", __file__]
        filter_process = subprocess.Popen(command, stdin=read, stdout=target, stderr=target, start_new_session=True)
        os.dup2(write, 2)
    finally:
        os.close(read)
        os.close(write)
    return filter_process


def _copy_without_noise() -> None:
    """Copies standard input to standard output without noise."""
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
    with contextlib.suppress(OSError):  # without a reader, which must not stop the writer
        while content:
            content = content[os.write(1, content) :]


if __name__ == "__main__":
    _copy_without_noise()
