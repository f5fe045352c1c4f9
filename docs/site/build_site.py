"""Builds the site: `make docs`. Sphinx has an environment of its own, from a lock in tests/environments, so that the
project's needs no packages for documentation.

    python docs/site/build_site.py FOLDER
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ISOLATED = ROOT / "tests" / "support" / "tflite" / "isolated.py"


def build(folder: Path, interpreter: Path, source: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs Sphinx, for which every warning is an error, such as one about a link or an anchor that does not exist.

    Args:
        folder: of the site; what is there already is not made again.
        interpreter: of the environment with Sphinx.
        source: the checkout.
    """
    strict = ["--fail-on-warning", "--keep-going", "--nitpicky", "--quiet"]
    folders: list[str | Path] = [
        "--conf-dir",
        source / "docs" / "site",
        "--doctree-dir",
        folder / ".doctrees",
        source,
        folder,
    ]
    command: list[str | Path] = [interpreter, "-m", "sphinx", "--builder", "html", *strict, *folders]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def interpreter() -> Path:
    """The interpreter of the environment with Sphinx, which is made if it is missing."""
    spec = importlib.util.spec_from_file_location("isolated", ISOLATED)
    assert spec is not None
    assert spec.loader is not None
    isolated = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(isolated)
    found: Path = isolated.python("docs")
    return found


def main() -> int:
    """Builds the site in the folder that is the argument."""
    folder = Path(sys.argv[1]).resolve()
    done = build(folder, interpreter())
    sys.stderr.write(done.stderr)
    if done.returncode == 0:
        print(f"the site is in {folder / 'index.html'}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
