from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.backends.installer_errors import installer_error

FOLDER = Path("/backends/jax-0123456789ab-py3.11")
HASH = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n  absl-py:\n  Expected 1\n  Got 2\n"
RETRY = "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...)': /simple/jax/\n"


@pytest.mark.parametrize(
    ("output", "got", "expected"),
    [
        (
            "Resolved 52 packages\nerror: Failed to download `jax==1`\n  cause: Hash mismatch for `jax==1`\n",
            "error: Failed to download `jax==1` cause: Hash mismatch for `jax==1`",
            "packages with the hashes",
        ),
        (f"Collecting absl-py\n{HASH}", "ERROR: THESE PACKAGES DO NOT MATCH", "packages with the hashes"),
        (
            "error: Failed to fetch: `x`\n  cause: dns error\n",
            "error: Failed to fetch: `x` cause: dns error",
            "a package",
        ),
        (f"{RETRY}ERROR: No matching distribution found for jax==1\n", "ERROR: No matching", "a package index"),
        ("Error: [Errno 28] No space left on device: '/backends'\n", "Error: [Errno 28] No space", "room in /backends"),
        ("Traceback\nPermissionError: [Errno 13] Permission denied: '/b'\n", "PermissionError: ", "a writable folder"),
        ("one\ntwo\nthree\nfour\n", "two three four", ""),
        ("", "", ""),
        (f"error: {'long ' * 200}", "error: long", ""),
    ],
)
def test_the_reason_and_what_to_do(output: str, got: str, expected: str) -> None:
    error = installer_error("jax", FOLDER, output)
    assert error.what == f"jax could not be installed in {FOLDER}"
    assert error.got.startswith(got)
    assert len(error.got) < 810
    assert error.expected.startswith(expected)
    assert bool(error.expected) == bool(expected)
    assert error.fix
