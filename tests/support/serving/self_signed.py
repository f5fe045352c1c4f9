"""Self-signed certificates, made by openssl. Not a test itself."""

from __future__ import annotations

import shutil
import subprocess

import pytest


def self_signed(folder, name="localhost", days=2):
    """Writes a server's key.pem and cert.pem, and returns their paths; skips the test without openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", str(days), "-subj", f"/CN={name}"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return key, certificate
