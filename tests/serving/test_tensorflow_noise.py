"""Messages that are kept off standard error, and those that never must be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from serving.tensorflow_noise import is_noise

NOISE = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795701486.830798 9 port.cc:153] oneDNN custom operations are on. You may see slightly different
I0000 00:00:1795701486.831750 9 cudart_stub.cc:31] Could not find cuda drivers on your machine
E0000 00:00:1795701492.838085 9 cuda_platform.cc:52] failed call to cuInit: INTERNAL: UNKNOWN ERROR (303)
E0000 00:00:1795701492.838085 9 cuda_diagnostics.cc:52] failed call to cuInit: CUDA_ERROR_NO_DEVICE: no device
E0000 00:00:1795701494.273741 9 util.cc:131] oneDNN supports DT_INT64 only on platforms with AVX-512. Falling back
E0000 00:00:1795701494.273741 9 cuda_dnn.cc:8310] Unable to register cuDNN factory: Attempting to register factory
W0000 00:00:1795701494.273741 9 computation_placer.cc:177] computation placer already registered. Please check linkage
2026-11-26 13:58:12.826123: I tensorflow/core/platform/cpu_feature_guard.cc:210] This TensorFlow binary is optimized
To enable the following instructions: AVX2, in other operations, rebuild TensorFlow with the appropriate compiler flags.
2026-11-26 13:58:12.826123: W tensorflow/tf2tensorrt/py_utils.cc:38] TF-TRT Warning: Could not find TensorRT
W0000 00:00:1795702681.258804 9 tf_tfl_flatbuffer_helpers.cc:364] Ignored output_format.
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
E0000 00:00:1795701494.2737 9 fork_posix.cc:75] Other threads are currently calling into gRPC, skipping fork() handlers
"""
FAULTS = """\
F0000 00:00:1795701486.830798 9 cpu_feature_guard.cc:38] The TensorFlow library was compiled to use AVX instructions
E0000 00:00:1795701492.838085 9 cuda_platform.cc:52] failed call to cuInit: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803)
W0000 00:00:1795701494.273741 9 gpu_device.cc:2342] Cannot dlopen some GPU libraries. Skipping registering GPU devices
2026-11-26 13:58:12.826123: W tensorflow/core/framework/op_kernel.cc:1857] OP_REQUIRES failed: No space left on device
terminate called after throwing an instance of 'std::bad_alloc'
Traceback (most recent call last):
2026-11-26 13:58:14.448 INFO model reviews version 1795701272 is served
2026-11-26 13:58:14.448 ERROR worker 1 was killed by signal 9
Intel MKL FATAL ERROR: Cannot load libmkl_avx2.so
In short: oneDNN supports DT_INT64 only on platforms with AVX-512
"""
WRITES = """
import os, sys
from serving.tensorflow_noise import filtered
os.write(2, b"before\\n")
with filtered():
    os.write(2, {lines!r}.encode())
    os.write(2, b"50%\\r")
    print("from Python", file=sys.stderr)
    if {aborts}:
        os.write(2, b"F0000 the end")
        os.abort()
os.write(2, b"after\\n")
"""


@pytest.mark.parametrize("line", NOISE.splitlines())
def test_messages_without_a_fault_are_noise(line: str) -> None:
    assert is_noise(line.encode())


@pytest.mark.parametrize("line", FAULTS.splitlines())
def test_messages_about_a_fault_are_not_noise(line: str) -> None:
    assert not is_noise(line.encode())


@pytest.mark.parametrize("aborts", [False, True])
def test_everything_but_noise_is_printed_even_after_a_crash(repository: Path, aborts: bool) -> None:
    program = WRITES.format(lines=NOISE + FAULTS, aborts=aborts)
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=False)
    last = "F0000 the end" if aborts else "after\n"
    assert done.stderr == f"before\n{FAULTS}50%\nfrom Python\n{last}"
    assert (done.returncode == 0) is not aborts
