"""A framework in a wheel of a few lines, with the Keras that runs on it: installed without a network."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

_MODULES = {
    "jax.py": "",
    "keras/__init__.py": "from keras import backend\n__version__ = '3.15.1'\n",
    "keras/backend.py": "import os\ndef backend(): return os.environ['KERAS_BACKEND']\n",
    "keras_hub.py": "",
    "tensorboard/summary/writer/event_file_writer.py": "class EventFileWriter: ...\n",
}


def write_lock(folder: Path, *, changed: bool = False, broken: bool = False) -> Path:
    """A lock of jax 1.2 alone, which names the folder of its wheel.

    Args:
        changed: the wheel is not that of the lock.
        broken: importing Keras fails.
    """
    modules = {**_MODULES, "keras/__init__.py": "import absent_library\n"} if broken else _MODULES
    wheel = folder / "jax-1.2-py3-none-any.whl"
    files = {
        **modules,
        "jax-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: jax\nVersion: 1.2\n",
        "jax-1.2.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_digest(text)},{len(text)}\n" for name, text in files.items())
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**files, "jax-1.2.dist-info/RECORD": f"{record}jax-1.2.dist-info/RECORD,,\n"}.items():
            archive.writestr(name, text)
    digest = "0" * 64 if changed else hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = folder / "tiny.lock"
    lock.write_text(f"--no-index\n--find-links {folder}\njax==1.2 \\\n    --hash=sha256:{digest}\n")
    return lock


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
