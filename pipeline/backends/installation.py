"""Makes and removes the environments of other frameworks.

An environment is made at its final path, because its scripts and pyvenv.cfg contain that path. What makes it count is
the marker, which is written last and removed first: neither an interrupted installation nor an interrupted removal
leaves anything that counts as installed, and the next installation clears it away.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from models.child_processes import tied_to_parent
from models.errors import BusyError, ConfigError, Interrupted, os_errors_as
from models.training.elsewhere.environments import (
    COSTS,
    FOLDER_VARIABLE,
    READY,
    Environment,
    environment,
    former_environments,
    install_command,
    lock_file,
    locked_version,
    python_variable,
)
from models.training.elsewhere.installed_packages import describe_damage, package_versions
from models.training.progress import format_duration
from pipeline.backends.installer_errors import installer_error
from pipeline.runs.interruption import interruptible

Say = Callable[[str], None]

# The lines of uv and pip that show how far they have come; of the downloads only those that take a while.
_PROGRESS = re.compile(
    r"Downloading .*\([\d.]+ ?[MG]i?B\)|Prepared|Install(?:ed|ing collected packages)|Bytecode compiled"
)
_CHECK = """
import importlib.metadata
import keras, keras_hub, {framework}
from tensorboard.summary.writer.event_file_writer import EventFileWriter
assert keras.backend.backend() == "{framework}", keras.backend.backend()
print()
print(importlib.metadata.version("{framework}"), keras.__version__)
"""


def install(framework: str, say: Say, *, verbose: bool = False) -> None:
    """Makes the environment of a framework, unless it is there and whole.

    Args:
        say: receives each line about what is being done.
        verbose: pass on all lines of uv or pip.

    Raises:
        TrainingError: the packages cannot be installed, or the framework does not work on this machine.
        ConfigError: the folder cannot be written.
        BusyError: another process installs or removes the same framework.
        Interrupted: a signal ended it.
    """
    found = environment(framework)
    if not _is_whole(found):  # a whole one may be in a folder that only another user can write, as in an image
        with _alone(framework, found.folder):
            found = environment(framework)
            if not _is_whole(found):
                _install(framework, found, say, verbose)
                return
    say(f"{framework} {found.version} is installed already, in {found.folder}")
    _tell_variable(framework, say)


def _is_whole(found: Environment) -> bool:
    return bool(found.version) and not describe_damage(found)


def remove(framework: str, say: Say, *, former_only: bool = False) -> None:
    """Removes the environments of a framework, also those of former locks and unfinished ones.

    Args:
        say: receives a line for each of them.
        former_only: keep the environment of the present lock.

    Raises:
        ConfigError: a folder cannot be removed.
        BusyError: another process installs or removes the same framework.
    """
    found = former_environments(framework)
    own = environment(framework)
    if not former_only and own.folder.exists():
        found.append(own)
    if not found:
        kind = f"no former environment of {framework}" if former_only else f"no environment of {framework}"
        say(f"{kind} in {own.folder.parent}: nothing to remove")
        return
    with _alone(framework, own.folder):
        for each in found:
            with os_errors_as(ConfigError, f"{each.folder} cannot be removed", fix="change its permissions"):
                _clear(each.folder)
            say(f"removed {each.folder}")


def _install(framework: str, target: Environment, say: Say, verbose: bool) -> None:
    begin, folder = time.monotonic(), target.folder
    say(f"installing {framework} {locked_version(framework)} into {folder} ({COSTS[framework]})")
    try:
        with interruptible(), _cleared_on_failure(framework, folder):
            for command in _commands(lock_file(framework), target):
                code, output = _run(command, say, verbose=verbose)
                if code:
                    raise installer_error(framework, folder, output)
            say(f"  Checking that Keras works on {framework}")
            check = [str(target.python), "-I", "-c", _CHECK.format(framework=framework)]
            code, output = _run(check, say, verbose=verbose, variables={"KERAS_BACKEND": framework})
            if code:
                raise installer_error(framework, folder, output)
            version, keras = output.split()[-2:]
            (folder / READY).write_text(f"{version}\n", encoding="utf-8")
            package_versions.cache_clear()  # another interpreter was there
    except KeyboardInterrupt:
        raise Interrupted(
            f"installing {framework}, after {format_duration(time.monotonic() - begin)}",
            kept="finished downloads, in the installer's cache",
            lost=f"{folder}, which was not finished",
            then=f"`{install_command(framework)}` starts again",
        ) from None
    say(f"{framework} {version} with Keras {keras}: installed in {format_duration(time.monotonic() - begin)}")
    _tell_variable(framework, say)


def _tell_variable(framework: str, say: Say) -> None:
    name = python_variable(framework)
    if given := os.environ.get(name):
        say(f"training on {framework} does not use it while {name} is set, to {given}")


def _commands(lock: Path, target: Environment) -> Iterator[list[str]]:
    """Makes the environment, and installs the lock: by uv if there is one, else by the environment's own pip."""
    uv = shutil.which("uv") or shutil.which("uv", path=os.path.dirname(sys.executable))
    yield [sys.executable, "-I", "-m", "venv", *(["--without-pip"] if uv else []), str(target.folder)]
    # --no-deps: the lock is complete, without the packages that its overrides leave out.
    locked = ["--require-hashes", "--no-deps", "-r", str(lock)]
    if uv:
        yield [os.path.abspath(uv), "pip", "install", "--python", str(target.python), "--compile-bytecode", *locked]
    else:
        yield [str(target.python), "-I", "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *locked]


def _run(
    command: Sequence[str], say: Say, *, verbose: bool, variables: dict[str, str] | None = None
) -> tuple[int, str]:
    """Runs a program to its end; its exit code and its output. The program ends with this process."""
    process = subprocess.Popen(
        tied_to_parent(command),
        cwd="/",  # in a project's folder, uv would apply that project's settings
        env={**os.environ, **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    lines = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            shown = _PROGRESS.match(line.strip())
            if verbose or shown:
                say(f"  {line.strip() if verbose else line.strip().partition(':')[0]}")
        return process.wait(), "".join(lines)
    finally:
        process.kill()
        process.wait()


@contextmanager
def _cleared_on_failure(framework: str, folder: Path) -> Iterator[None]:
    """An empty place for the environment, which is removed if the block fails."""
    fix = f"change its permissions, or set {FOLDER_VARIABLE} to another folder"
    with os_errors_as(ConfigError, f"what is left of an installation of {framework}, in {folder}", fix=fix):
        _clear(folder)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            _clear(folder)
        raise


def _clear(folder: Path) -> None:
    """Removes an environment, its marker first."""
    (folder / READY).unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)


@contextmanager
def _alone(framework: str, folder: Path) -> Iterator[None]:
    """Makes the folder of backends, and lets no other process install or remove this framework within the block."""
    root = folder.parent
    fix = f"set {FOLDER_VARIABLE} to another folder, or change its permissions"
    with os_errors_as(ConfigError, f"folder of backends {root}", expected="a writable folder", fix=fix):
        root.mkdir(parents=True, exist_ok=True)
        handle = os.open(root / f".{framework}.busy", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"{framework} in {root}",
                got="another process installs or removes it",
                expected="one at a time",
                fix="wait until it ends, and try again",
            ) from None
        except OSError:  # a file system without locks cannot show another process; continue
            pass
        yield
    finally:
        os.close(handle)
