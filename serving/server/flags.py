"""The command line becomes `ServerOptions`, before TensorFlow is imported."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from serving.errors import OptionsError
from serving.server.flag_files import (
    read_api_keys,
    read_batching,
    read_metrics_path,
    read_model_config,
    read_session_config,
    read_tls_source,
)
from serving.server.flag_table import FLAGS, OURS, Flag
from serving.server.options import ServerOptions, TlsSource
from serving.wire import protos

_BOOLS = {"true": True, "1": True, "false": False, "0": False}
_DEFAULT_POOL = "model_server_batch_threads"
_PLATFORM = "tensorflow"

_READ = {"saved_model_tags", "grpc_channel_arguments", "grpc_socket_path", "model_config_file", "reload_roots"}
_READ |= {"api_keys_file"}
# Flags whose value goes into the option of the same name as it is.
_AS_THEY_ARE = [
    field.name for field in dataclasses.fields(ServerOptions) if field.name in FLAGS and field.name not in _READ
]


@dataclasses.dataclass(frozen=True)
class CommandLine:
    """What was asked for.

    Attributes:
        given: flag to value, defaults left out.
        warnings: lines about flags that have no effect.
    """

    given: Mapping[str, Any]
    warnings: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.given.get(name, FLAGS[name].default)


def parse(arguments: Sequence[str]) -> CommandLine:
    """Reads `--flag=value`, `--flag value` and `--flag`.

    Raises:
        OptionsError: an unknown flag, a value of another kind, or a flag that is refused.
    """
    given: dict[str, Any] = {}
    left = list(arguments)
    while left:
        flag, text, value_left = _split(left)
        left = value_left
        given[flag.name] = _value(flag, text)
    for name, value in given.items():
        flag = FLAGS[name]
        if flag.refused and value != flag.default:
            raise OptionsError(f"--{name}", got=str(value), expected=f"nothing: {flag.refused}", fix="leave it out")
    warnings = [f"--{name} has no effect: {FLAGS[name].no_effect}" for name in given if FLAGS[name].no_effect]
    return CommandLine(given, tuple(warnings))


def to_options(line: CommandLine) -> ServerOptions:
    """The options, the files that flags name read.

    Raises:
        OptionsError: a combination that cannot be, or a file that cannot be used.
    """
    _check_addresses(line)
    intra, inter = _parallelism(line)
    source = _tls_source(line)
    values = {name: line.given[name] for name in _AS_THEY_ARE if name in line.given}
    return ServerOptions(
        **values,
        grpc_socket_path=_path(line, "grpc_socket_path"),
        model_config_file=_path(line, "model_config_file"),
        models=_models(line),
        batching=_batching(line),
        session_config=_session_config(line),
        intra_op_parallelism=intra,
        inter_op_parallelism=inter,
        saved_model_tags=tuple(line["saved_model_tags"].split(",")),
        num_tflite_interpreters=line["num_tflite_pools"] * line["num_tflite_interpreters_per_pool"],
        grpc_channel_arguments=_channel_arguments(line["grpc_channel_arguments"]),
        tls=read_tls_source(source) if source else None,
        tls_source=source,
        metrics_path=_metrics_path(line),
        reload_roots=_reload_roots(line),
        api_keys_file=_path(line, "api_keys_file"),
        api_keys=read_api_keys(Path(line["api_keys_file"])) if line["api_keys_file"] else None,
    )


def single_model(name: str, base_path: str) -> Any:
    """The `ModelServerConfig` of one model."""
    config = protos.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=_PLATFORM)
    return config


def _split(arguments: list[str]) -> tuple[Flag, str | None, list[str]]:
    """The next flag, its value if it has one, and what is left."""
    first, *rest = arguments
    if not first.startswith("--"):
        what = f"argument {first!r}"
        raise OptionsError(what, expected="flags, as --name=value", fix="--help lists them")
    name, equals, text = first[2:].partition("=")
    flag = FLAGS.get(name)
    if flag is None:
        near = difflib.get_close_matches(name, FLAGS, 1)
        fix = f"did you mean --{near[0]}?" if near else "--help lists them"
        raise OptionsError(f"unknown flag --{name}", expected="a flag of tensorflow_model_server or ours", fix=fix)
    if equals:
        return flag, text, rest
    if flag.kind is bool:
        return flag, None, rest
    if not rest or rest[0].startswith("--"):
        raise OptionsError(f"--{name}", got="no value", expected=_kind_of(flag), fix=f"write --{name}=VALUE")
    return flag, rest[0], rest[1:]


def _value(flag: Flag, text: str | None) -> Any:
    if flag.kind is bool:
        if text is None:
            return True
        if text.lower() in _BOOLS:
            return _BOOLS[text.lower()]
        raise OptionsError(f"--{flag.name}", got=text, expected="true, false, 1 or 0", fix="use one of them")
    assert text is not None
    try:
        value = flag.kind(text)
        good = value in (flag.choices or (value,)) if flag.kind is str else _within(flag, value)
    except ValueError:
        good = False
    if not good:
        raise OptionsError(f"--{flag.name}", got=text or "nothing", expected=_kind_of(flag), fix=_write(flag))
    return value


def _within(flag: Flag, value: float) -> bool:
    # Not infinite: what waits so long overflows in one clock or the other.
    low = -(2**63) if flag.least is None else flag.least
    high = 2**63 - 1 if flag.most is None else flag.most
    return low <= value <= high


def _kind_of(flag: Flag) -> str:
    if flag.choices:
        return f"{', '.join(flag.choices[:-1])} or {flag.choices[-1]}"
    kind = {int: "a whole number", float: "a number", str: "a text"}[flag.kind]
    if flag.least is None:
        return kind
    return f"{kind}, at least {flag.least:g}" if flag.most is None else f"{kind} from {flag.least:g} to {flag.most:.0f}"


def _write(flag: Flag) -> str:
    """What to do about a wrong value."""
    return f"write --{flag.name}=VALUE: {flag.help.removeprefix(OURS)}"


def _path(line: CommandLine, name: str) -> Path | None:
    return Path(line[name]) if line[name] else None


def _tls_source(line: CommandLine) -> TlsSource | None:
    config, certificate, key, authority = (
        _path(line, name) for name in ("ssl_config_file", "ssl_certificate_file", "ssl_key_file", "ssl_ca_file")
    )
    if config and (certificate or key or authority):
        got, expected = "it and files of their own", "either it, or --ssl_certificate_file and --ssl_key_file"
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


def _check_addresses(line: CommandLine) -> None:
    if not line["port"] and not line["grpc_socket_path"]:
        raise OptionsError(
            "--port and --grpc_socket_path", got="neither", expected="at least one of them", fix="give --port=8500"
        )
    if line["port"] and line["port"] == line["rest_api_port"]:
        what = "--rest_api_port"
        raise OptionsError(what, got=f"{line['port']}, as --port", expected="another port", fix="use 8501")


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
            raise OptionsError(what, got=pair, expected="key=value,key=value", fix="separate key and value by =")
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
        raise OptionsError(what, got="no --rest_api_port", expected="REST, which shows the page", fix=fix)
    return path
