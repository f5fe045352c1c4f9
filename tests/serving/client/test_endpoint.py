"""URLs and arguments of a client, before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.client import Client
from serving.client.endpoint import Target, Tls, is_url, parse
from serving.errors import OptionsError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("grpc://host/reviews", Target("grpc", "host", 8500, "", "reviews")),
        ("grpcs://host:1/reviews/", Target("grpcs", "host", 1, "", "reviews")),
        ("http://host/reviews", Target("http", "host", 8501, "", "reviews")),
        ("https://host/my%20model", Target("https", "host", 443, "", "my model")),
        ("http://[::1]:7/v1/models/reviews", Target("http", "::1", 7, "", "reviews")),
        ("https://host/a/b/v1/models/reviews", Target("https", "host", 443, "/a/b", "reviews")),
    ],
)
def test_a_url_names_a_server_and_a_model(url: str, expected: Target) -> None:
    assert parse(url) == expected
    assert is_url(url)


def test_the_path_is_escaped_and_says_which_version() -> None:
    assert parse("http://h", "a b/c").path == "/v1/models/a%20b%2Fc"
    assert parse("http://h/m", version=7).path == "/v1/models/m/versions/7"
    assert parse("http://h/x/v1/models/m", label="canary").path == "/x/v1/models/m/labels/canary"
    assert parse("http://[::1]/m").address == "[::1]:8501"


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("host:8500", {}, "no such URL"),
        ("ftp://host/m", {}, "no such URL"),
        ("grpc:///m", {}, "no such URL"),
        ("grpc://user@host/m", {}, "no such URL"),
        ("grpc://host:port/m", {}, "Port"),
        ("grpc://host", {}, "no model"),
        ("grpc://host/a/b", {}, "a model's name alone"),
        ("http://host/a/b", {}, "PREFIX/v1/models/NAME"),
        ("grpc://host/a", {"model": "b"}, "'a' and 'b'"),
        ("grpc://host/a", {"version": 1, "label": "stable"}, "version 1 and label 'stable'"),
        ("grpc://host/a", {"batch_size": 0}, "batch_size"),
        ("grpc://host/a", {"timeout": 0}, "timeout"),
        ("grpc://host/a", {"tls": Tls()}, "grpcs:// or https://"),
    ],
)
def test_an_invalid_url_is_refused_with_the_expected_form(url: str, options: dict[str, int], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        Client(url, **options)  # type: ignore[arg-type]  # of several types, which the table mixes


def test_a_folder_is_not_a_url() -> None:
    assert not is_url("transom-out")
    assert not is_url("C:\\models")
    assert not is_url("/grpc://x")


def test_tls_files_must_exist_and_be_complete(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("")
    with pytest.raises(OptionsError, match="a certificate or a key alone"):
        Tls(cert=tmp_path / "a.pem")
    with pytest.raises(OptionsError, match=r"tls\.ca"):
        Tls(ca=tmp_path / "none.pem")
