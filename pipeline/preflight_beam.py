"""Checks the settings of Beam. Beam itself is imported only if a runner is named."""

from __future__ import annotations

import argparse
import difflib
import socket

from components.beam_config import BeamStepConfig
from models.errors import ConfigError
from pipeline.config import ProjectConfig
from pipeline.steps import BEAM_STEPS

# Options that hold the address of a server, and their values that mean another way.
_ADDRESSES = ("job_endpoint", "artifact_endpoint", "flink_master")
_NO_ADDRESS = ("embed", "[local]", "[auto]", "[collection]")
_CONNECT_S = 10.0


def check_beam(config: ProjectConfig, *, runs_here: bool) -> None:
    """Checks steps, runners and options.

    Args:
        runs_here: the steps will run on this machine, and their artifacts are its files.

    Raises:
        ConfigError: a step does not use Beam, Beam does not know an option, the runner's workers cannot see the
            artifacts, or nothing answers at an address.
    """
    beam = config.beam
    for name in beam.steps:
        if name not in BEAM_STEPS:
            close = difflib.get_close_matches(name, BEAM_STEPS, n=1)
            raise ConfigError(
                "beam.steps",
                got=name,
                expected=f"a step that uses Beam: {', '.join(BEAM_STEPS)}",
                fix=f"did you mean {close[0]}?" if close else "",
            )
    sections = _sections(config)
    runners = {key: one.runner for key, one in sections if one.runner is not None}
    for key, one in sections:
        if one.options and not (one.runner or beam.runner) and not (key == "beam" and runners):
            raise ConfigError(
                f"{key}.options",
                got=", ".join(one.options),
                expected="options of a runner",
                fix=f"set {key}.runner, or remove the options: without a runner, Beam runs in the step's own process",
            )
        _check_options(f"{key}.options", list(one.options))
    if runs_here:
        _check_endpoints(sections)
    for key, runner in runners.items():
        if runs_here and runner.rpartition(".")[2] in ("DataflowRunner", "TestDataflowRunner"):
            raise ConfigError(
                f"{key}.runner",
                got=f"{runner} for a run on this machine",
                expected="a runner whose workers can read and write this machine's files",
                fix="run the pipeline on Kubeflow with kubeflow.root in a bucket (`transom submit`), or remove the key",
            )


def _sections(config: ProjectConfig) -> list[tuple[str, BeamStepConfig]]:
    return [("beam", config.beam), *((f"beam.steps.{name}", one) for name, one in config.beam.steps.items())]


def _check_endpoints(sections: list[tuple[str, BeamStepConfig]]) -> None:
    """Refuses an address at which nothing listens: Beam would wait for it without a word, for minutes or for ever."""
    whole = sections[0][1]
    for key, one in sections:
        options = {**whole.options, **one.options}
        if (one.runner or whole.runner) == "PortableRunner" and "job_endpoint" not in options:
            raise ConfigError(
                f"{key}.options",
                got="no job_endpoint",
                expected="the address of Beam's job service",
                fix="set job_endpoint: HOST:PORT; see docs/data-path.md",
            )
        for name in _ADDRESSES:
            address = str(one.options.get(name, ""))
            if not address or address in _NO_ADDRESS:
                continue
            host, _, port = address.removeprefix("http://").removeprefix("https://").rstrip("/").rpartition(":")
            what, expected = f"{key}.options.{name}", "HOST:PORT, where a server listens"
            if not host or not port.isdecimal():
                raise ConfigError(what, got=address, expected=expected)
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
            except (OSError, OverflowError) as error:
                got = f"nothing answers at {address} ({getattr(error, 'strerror', None) or error})"
                raise ConfigError(what, got=got, expected=expected, fix="start it, or correct the address") from error


def _check_options(key: str, names: list[str]) -> None:
    """Refuses options that no runner has: Beam would ignore them without a word."""
    if not names:
        return
    known = _known_options()
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise ConfigError(
                key,
                got=name,
                expected="an option of Beam's or of a runner's, as in its documentation, with _ for -",
                fix=f"did you mean {close[0]}?" if close else "correct or remove it",
            )


def _known_options() -> list[str]:
    from apache_beam.options.pipeline_options import PipelineOptions

    known: set[str] = set()
    for options in PipelineOptions.__subclasses__():
        parser = argparse.ArgumentParser()
        options._add_argparse_args(parser)
        known |= {name.removeprefix("--") for action in parser._actions for name in action.option_strings}
    return sorted(known)
