"""Flags that cannot be used together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.errors import OptionsError

if TYPE_CHECKING:
    from serving.server.flags import CommandLine


def check_addresses(line: CommandLine) -> None:
    """Checks the flags of the ports.

    Raises:
        OptionsError: there is no address for gRPC, or one port for two purposes.
    """
    if not line["port"] and not line["grpc_socket_path"]:
        what, fix = "--port and --grpc_socket_path", "give --port=8500"
        raise OptionsError(what, got="neither", expected="at least one of them", fix=fix)
    if line["port"] and line["port"] == line["rest_api_port"]:
        what = "--rest_api_port"
        raise OptionsError(what, got=f"{line['port']}, as --port", expected="another port", fix="use 8501")


def check_page(line: CommandLine, metrics_path: str | None) -> None:
    """Checks that --page has a place.

    Args:
        metrics_path: of the Prometheus page, None for no such page.

    Raises:
        OptionsError: there is no REST, or the Prometheus page is at one of its paths.
    """
    if not line["page"]:
        return
    if not line["rest_api_port"]:
        fix = "give --rest_api_port=8501"
        raise OptionsError("--page", got="no --rest_api_port", expected="REST, which the page queries", fix=fix)
    if metrics_path is not None and (metrics_path == "/" or metrics_path.startswith("/page/")):
        got, fix = f"{metrics_path}, where --page has its page", "choose another path"
        raise OptionsError("prometheus_config.path", got=got, expected="another path", fix=fix)
