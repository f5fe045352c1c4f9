"""Parses the command line into `ServerOptions`, before TensorFlow is imported."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from serving.errors import OptionsError
from serving.server.flag_conflicts import check_addresses, check_page
from serving.server.flag_files import (
    read_api_keys,
    read_batching,
    read_metrics_path,
    read_model_config,
    read_session_config,
    read_tls_source,
)
from serving.server.flag_table import FLAGS, GROUPS, LEAST, MOST, TRANSOM, Flag
from serving.server.options import ServerOptions, TlsSource
from serving.wire import protos

_BOOLS = {"true": True, "1": True, "false": False, "0": False}
_DEFAULT_POOL = "model_server_batch_threads"
_PLATFORM = "tensorflow"
_ABOUT = """\
Serves SavedModels over gRPC and REST as tensorflow_model_server does, with its flags. Flags marked [Transom] are
additions. A flag is --name=value, --name value, or --name alone for true.

  python -m serving.server --model_name=reviews --model_base_path=/models/reviews --rest_api_port=8501
  curl -d '{"instances": ["so good"]}' localhost:8501/v1/models/reviews:predict"""

_OPTIONS = {field.name for field in dataclasses.fields(ServerOptions)}


@dataclasses.dataclass(frozen=True)
class CommandLine:
    """The parsed flags.

    Attributes:
        given: flag to value, without the defaults.
        warnings: lines about flags that have no effect.
    """

    given: Mapping[str, Any]
    warnings: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.given.get(name, FLAGS[name].default)


def parse(arguments: Sequence[str]) -> CommandLine:
    """Parses `--flag=value`, `--flag value`, and `--flag` for a bool, which takes no separate value.

    Raises:
        OptionsError: an unknown flag, a value of another kind, or a flag that is refused.
    """
    try:
        values, unknown = _parser({}).parse_known_args(_with_equals(arguments))
    except argparse.ArgumentError as error:
        what = str(error.argument_name)
        expected = _expected(FLAGS[what.removeprefix("--")])
        raise OptionsError(what, got="no value", expected=expected, fix=f"write {what}=VALUE") from error
    if unknown:
        raise _unknown(unknown[0])
    # argparse turns the value of `--flag=--` into an empty list.
    given = {name: _value(FLAGS[name], "--") if value == [] else value for name, value in vars(values).items()}
    for name, value in given.items():
        flag = FLAGS[name]
        if flag.refused and value != flag.default:
            raise OptionsError(f"--{name}", got=str(value), expected=f"nothing: {flag.refused}", fix="leave it out")
    warnings = [f"--{name} has no effect: {FLAGS[name].no_effect}" for name in given if FLAGS[name].no_effect]
    return CommandLine(given, tuple(warnings))


def _with_equals(arguments: Sequence[str]) -> list[str]:
    """Writes every flag as `--flag=value`: argparse takes `-x` for a flag even where a value is due."""
    bools = {f"--{flag.name}" for flag in FLAGS.values() if flag.kind is bool}
    others = {f"--{name}" for name in FLAGS} - bools
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in others and not argument.startswith("--"):
            joined[-1] += f"={argument}"
        else:
            joined.append(f"{argument}=true" if argument in bools else argument)
    return joined


def usage(given: Mapping[str, Any]) -> str:
    """The text of --help, including the values in `given`: `transom serve` sets some flags itself."""
    return _parser(given).format_help()


def _parser(given: Mapping[str, Any]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        usage="python -m serving.server --model_base_path=FOLDER [FLAGS]",
        description=_ABOUT,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=6, width=120),
        argument_default=argparse.SUPPRESS,
        add_help=False,
        allow_abbrev=False,
        exit_on_error=False,
    )
    for title, flags in GROUPS.items():
        group = parser.add_argument_group(title)
        for flag in flags:
            notes = [] if flag.default in ("", False) else [f"default: {str(flag.default).lower()}"]
            if flag.name != "help" and given.get(flag.name, flag.default) != flag.default:
                notes.append(f"here: {given[flag.name]}".replace("%", "%%"))
            text = f"{flag.help} ({', '.join(notes)})" if notes else flag.help
            metavar = "[=BOOL]" if flag.kind is bool else flag.kind.__name__.upper()
            group.add_argument(f"--{flag.name}", type=partial(_value, flag), help=text, metavar=metavar)
    return parser


def _unknown(argument: str) -> OptionsError:
    fix = "--help lists them"
    if not argument.startswith("--"):
        return OptionsError(f"argument {argument!r}", expected="flags, as --name=value", fix=fix)
    name = argument[2:].partition("=")[0]
    if near := difflib.get_close_matches(name, FLAGS, 1):
        fix = f"did you mean --{near[0]}?"
    expected = "a flag of tensorflow_model_server or of Transom"
    return OptionsError(f"unknown flag --{name}", expected=expected, fix=fix)


def _value(flag: Flag, text: str) -> Any:
    """Converts the text of a value.

    Raises:
        OptionsError: the text is not a value of the flag.
    """
    try:
        value = _BOOLS[text.lower()] if flag.kind is bool else flag.kind(text)
        good = value in (flag.choices or (value,)) if flag.kind is str else flag.least <= value <= flag.most
    except (KeyError, ValueError):
        good = False
    if good:
        return value
    fix = f"write --{flag.name}=VALUE: {flag.help.removeprefix(TRANSOM)}"
    raise OptionsError(f"--{flag.name}", got=text or "nothing", expected=_expected(flag), fix=fix)


def _expected(flag: Flag) -> str:
    """The values that a flag takes, in words."""
    if flag.choices:
        return f"{', '.join(flag.choices[:-1])} or {flag.choices[-1]}"
    kind = {bool: "true, false, 1 or 0", int: "a whole number", float: "a number", str: "a text"}[flag.kind]
    if flag.least == LEAST:
        return kind
    return f"{kind}, at least {flag.least:g}" if flag.most == MOST else f"{kind} from {flag.least:g} to {flag.most:.0f}"


def to_options(line: CommandLine) -> ServerOptions:
    """Turns the flags into options, reading the files that they name.

    Raises:
        OptionsError: flags that contradict each other, or a file that cannot be used.
    """
    check_addresses(line)
    metrics_path = _metrics_path(line)
    check_page(line, metrics_path)
    intra, inter = _parallelism(line)
    source = _tls_source(line)
    unchanged = {name: value for name, value in line.given.items() if name in _OPTIONS}
    return dataclasses.replace(
        ServerOptions(models=_models(line), **unchanged),
        grpc_socket_path=_path(line, "grpc_socket_path"),
        model_config_file=_path(line, "model_config_file"),
        batching=_batching(line),
        session_config=_session_config(line),
        intra_op_parallelism=intra,
        inter_op_parallelism=inter,
        saved_model_tags=tuple(line["saved_model_tags"].split(",")),
        num_tflite_interpreters=line["num_tflite_pools"] * line["num_tflite_interpreters_per_pool"],
        grpc_channel_arguments=_channel_arguments(line["grpc_channel_arguments"]),
        tls=read_tls_source(source) if source else None,
        tls_source=source,
        metrics_path=metrics_path,
        reload_roots=_reload_roots(line),
        api_keys_file=_path(line, "api_keys_file"),
        api_keys=read_api_keys(Path(line["api_keys_file"])) if line["api_keys_file"] else None,
    )


def single_model(name: str, base_path: str) -> Any:
    """A `ModelServerConfig` with one model."""
    config = protos.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=_PLATFORM)
    return config


def _path(line: CommandLine, name: str) -> Path | None:
    return Path(line[name]) if line[name] else None


def _tls_source(line: CommandLine) -> TlsSource | None:
    config, certificate, key, authority = (
        _path(line, name) for name in ("ssl_config_file", "ssl_certificate_file", "ssl_key_file", "ssl_ca_file")
    )
    if config and (certificate or key or authority):
        got, expected = "it and separate files", "either it, or --ssl_certificate_file and --ssl_key_file"
        raise OptionsError("--ssl_config_file", got=got, expected=expected, fix="leave it out")
    if (certificate is None) != (key is None) or (authority and not certificate):
        got, expected = "only one of them, or --ssl_ca_file alone", "both"
        what = "--ssl_certificate_file and --ssl_key_file"
        raise OptionsError(what, got=got, expected=expected, fix="give the certificate and its key")
    return TlsSource(config, certificate, key, authority) if config or certificate else None


def _reload_roots(line: CommandLine) -> tuple[Path, ...]:
    roots = tuple(Path(root).absolute() for root in line["reload_roots"].split(",") if root)
    for root in roots:
        if not root.is_dir():
            raise OptionsError("--reload_roots", got=str(root), expected="folders", fix="name folders that exist")
    return roots


def _models(line: CommandLine) -> Any:
    if line["model_config_file"]:
        return read_model_config(Path(line["model_config_file"]))
    if not line["model_base_path"]:
        raise OptionsError(
            "--model_base_path",
            got="neither it nor --model_config_file",
            expected="a folder of numbered versions",
            fix="give --model_base_path=/models/NAME, or see --help",
        )
    base = line["model_base_path"]
    return single_model(line["model_name"], base if "://" in base else str(Path(base).absolute()))


def _batching(line: CommandLine) -> dict[str, Any] | None:
    file = line["batching_parameters_file"]
    if not line["enable_batching"]:
        if file:
            what = "--batching_parameters_file"
            raise OptionsError(what, got=file, expected="--enable_batching with it", fix="add --enable_batching")
        return None
    return read_batching(Path(file)) if file else {"thread_pool_name": _DEFAULT_POOL}


def _parallelism(line: CommandLine) -> tuple[int, int]:
    intra, inter = line["tensorflow_intra_op_parallelism"], line["tensorflow_inter_op_parallelism"]
    both = line["tensorflow_session_parallelism"]
    if intra and inter and both:
        raise OptionsError(
            "--tensorflow_session_parallelism",
            got="it, --tensorflow_intra_op_parallelism and --tensorflow_inter_op_parallelism",
            expected="either it or the other two",
            fix="leave it out",
        )
    return (intra, inter) if intra or inter else (both, both)


def _session_config(line: CommandLine) -> Any:
    file, fraction = line["tensorflow_session_config_file"], line["per_process_gpu_memory_fraction"]
    if not file and not fraction:
        return None
    config = read_session_config(Path(file)) if file else protos.ConfigProto()
    if fraction:
        config.gpu_options.per_process_gpu_memory_fraction = fraction
    return config


def _channel_arguments(text: str) -> tuple[tuple[str, Any], ...]:
    pairs = []
    for pair in filter(None, text.split(",")):
        key, equals, value = pair.partition("=")
        if not key or not equals:
            what = "--grpc_channel_arguments"
            raise OptionsError(what, got=pair, expected="key=value,key=value", fix="separate key and value with =")
        number = value.removeprefix("-").isdecimal() and abs(int(value)) < 2**31
        pairs.append((key, int(value) if number else value))
    return tuple(pairs)


def _metrics_path(line: CommandLine) -> str | None:
    if not line["monitoring_config_file"]:
        return None
    path = read_metrics_path(Path(line["monitoring_config_file"]))
    if path is not None and not line["rest_api_port"]:
        what = "--monitoring_config_file"
        fix = "give --rest_api_port=8501"
        raise OptionsError(what, got="no --rest_api_port", expected="REST, which serves the page", fix=fix)
    return path
