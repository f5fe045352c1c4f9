"""What the page does with any text in a real browser: the calls to copy, hostile texts, requests that overtake."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from chromium import drive
from page_servers import PageServer, start
from page_steps import ASK, ASKED, TEXT, answer_of, unexpected
from self_signed import self_signed

READY = ("see", "#about", "labels")
HOSTILE = {
    "markup": "<img src=x onerror=alert(1)><script>alert(2)</script></textarea><b>film</b>",
    "quotes": "it's \"so\" `id` $HOME $(id) \\ \\n %s {x} !! '; echo 'film' #",
    "lines": "film\n\n\tgood\nJSON\nEOF\n",
    "directions": "film \u202egood\u2066 \u2028 \ufeff bad\u0000\u0007\u009b31m שלום",
    "unicode": "电影 😀 👩‍🚀 café e\u0301 ½",
    "empty": "",
}
SURROGATES = "film \ud800 good \udfff😀"
LONG = "the film was good, 'unbelievably' bad. 电影 " * 2500  # over 100 kB


def put(field: str, text: str) -> tuple[str, str]:
    """A step that puts a text into a field as pasting does; `fill` cannot send halves of characters."""
    field = f"document.querySelector('#{field}')"
    return "evaluate", f"void ({field}.value = {json.dumps(text)}, {field}.dispatchEvent(new Event('input')))"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    from tiny_exports import export

    folder = tmp_path_factory.mktemp("pair")
    export("pair", folder / "pair" / "1")
    server = start(folder, {"pair": folder / "pair"})
    yield server
    server.stop()


def run_calls(curl: str, python: str, repository: Path) -> tuple[Any, str]:
    """What the answers to both calls are: JSON's first prediction, and what Python prints."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    answer = subprocess.run(["sh"], input=curl.encode(), capture_output=True, timeout=60, check=True)
    printed = subprocess.run(
        [sys.executable, "-"], input=python.encode(), capture_output=True, cwd=repository, timeout=60, check=True
    )
    return json.loads(answer.stdout)["predictions"][0], printed.stdout.decode().strip()


@pytest.mark.slow
@pytest.mark.parametrize("text", [*HOSTILE.values(), LONG], ids=[*HOSTILE, "long"])
def test_both_calls_run_as_they_are_copied_and_hold_exactly_the_texts(
    text: str, pair: PageServer, repository: Path
) -> None:
    steps = [READY, put("text", text), put("pair", text[::-1]), ASK, ("see", "#answer", "ms")]
    steps += [("click", "#copy-curl"), ("see", "#copy-curl", "Copied"), ("clipboard",)]
    steps += [("click", "#copy-python"), ("see", "#copy-python", "Copied"), ("clipboard",), ("read", "#label")]
    found = drive(pair.url, steps)
    curl, python, (label,) = found["results"]
    assert found["console"] == []
    # The very texts: what a shell and Python make of the calls.
    if len(text) < 1000:
        words = subprocess.run(
            ["sh"],
            input=f"curl() {{ printf '%s' \"$5\"; }}\n{curl}".encode(),
            capture_output=True,
            timeout=60,
            check=True,
        )
        assert json.loads(words.stdout) == {"instances": [{"text": text, "text_pair": text[::-1]}]}
    asked: list[tuple[str, str]] = []
    names = {"Client": lambda *_, **__: _Recorder(asked), "print": lambda *_: None}
    exec(python.replace("from serving.client import Client", ""), names)
    assert asked == [(text, text[::-1])]
    answer, printed = run_calls(curl, python, repository)
    expected = answer_of(pair, "pair", text, text[::-1])
    assert answer["label"] == expected["label"]
    assert answer["probabilities"] == pytest.approx(expected["probabilities"])
    assert label.startswith(answer["label"])
    assert f"label='{answer['label']}'" in printed


class _Recorder:
    """In place of a client: keeps what is asked."""

    def __init__(self, asked: list[tuple[str, str]]) -> None:
        self._asked = asked

    def __enter__(self) -> _Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def predict(self, texts: list[str], pairs: list[str]) -> list[None]:
        self._asked += zip(texts, pairs, strict=True)
        return [None]


@pytest.mark.slow
def test_hostile_texts_are_shown_as_texts(single: PageServer) -> None:
    count = ("evaluate", "document.querySelectorAll('script, img, b, iframe').length")
    steps: list[tuple[Any, ...]] = [READY, count]
    for text in (*HOSTILE.values(), SURROGATES, LONG):
        steps += [put("text", text), ASK, ("see", "#status", ""), ("gone", "[aria-busy=true]"), ASKED]
        steps += [("read", "#marked, #curl, #python"), count]
    steps += [("evaluate", "document.documentElement.scrollWidth > window.innerWidth"), ("violations",)]
    before, *shown, overflows, violations = drive(single.url, steps, width=360)["results"]
    assert shown[1::2] == [before] * len(shown[1::2])
    for texts in shown[::2]:
        hidden = "".join(texts).translate(dict.fromkeys(map(ord, "\t\n\r")))
        assert not any(ord(one) < 32 or one in "\x7f\x9b\u202e\u2066\u2028\ufeff" for one in hidden)
    assert max(len(texts[1]) for texts in shown[::2]) < 30_000
    assert (overflows, violations) == (False, [])


@pytest.mark.slow
def test_half_a_character_is_sent_as_a_replacement_and_the_page_says_so(single: PageServer) -> None:
    steps = [READY, ("read", "#half-note"), put("text", SURROGATES), ("read", "#half-note"), ASK, ASKED]
    steps += [("click", "#copy-curl"), ("see", "#copy-curl", "Copied"), ("clipboard",)]
    before, note, curl = drive(single.url, steps)["results"]
    assert (before, len(note)) == ([], 1)
    assert '["film \ufffd good \ufffd😀"]' in curl


@pytest.mark.slow
def test_nothing_is_sent_while_typing_and_a_later_request_wins(single: PageServer) -> None:
    busy = ("evaluate", "[document.querySelector('#send').getAttribute('aria-disabled'), performance.now()][0]")
    sent = ("evaluate", "performance.getEntriesByType('resource').length")
    steps = [
        READY,
        ("see", "#calls", "curl"),
        sent,
        ("fill", "#text", "bad"),
        ("press", "x"),
        sent,
        ("hold", "**/*:predict", '"instances"'),
        ("click", "#send"),
        ("see", "#send", "Asking"),
        busy,
        ("evaluate", "void document.querySelector('#send').click()"),  # does nothing meanwhile
        ("fill", "#text", TEXT),
        ASK,  # the keys do
        ASKED,
        ("release",),
        busy,
        ("read", "#label, blockquote"),
        ("fill", "#text", "another"),
        ("read", "#outdated"),
    ]
    found = drive(single.url, steps)
    before, after, asking, idle, (label, words), outdated = found["results"]
    assert before == after
    assert (asking, idle) == ("true", "false")
    assert label.split("\n")[0] == answer_of(single, "single", TEXT)["label"]
    assert words.split() == TEXT.split()
    assert outdated == ["The text has changed since this answer."]
    assert sum(request.endswith(":predict") for request in found["requests"]) == 3
    assert unexpected(found) == []


@pytest.mark.slow
def test_the_words_are_asked_for_after_the_answer_is_shown(single: PageServer) -> None:
    steps = [READY, ("hold", "**/*:predict", "attributions"), ("fill", "#text", TEXT), ASK]
    steps += [("see", "#answer", "ms, measured"), ("see", "#send", "Ask the model"), ("read", "#marked")]
    steps += [("release",), ASKED]
    found = drive(single.url, steps)
    assert found["results"] == [["Asking which words made the answer…"]]


@pytest.mark.slow
def test_the_server_s_errors_are_shown_and_no_answer_stays(single: PageServer, tmp_path: Path) -> None:
    base = single.log.parent / "single"
    server = start(tmp_path, {"single": base}, "--max_message_bytes=1000", "--max_pending_bytes=40000")
    steps = [READY, ("fill", "#text", TEXT), ASK, ("see", "#answer", "ms"), ("fill", "#text", "x" * 2000), ASK]
    steps += [("see", "#problem", "too long for this server"), ("read", "#problem, #answer, #words")]
    try:
        found = drive(server.url, steps)
    finally:
        server.stop()
    assert found["results"] == [
        ["The text is too long for this server\nRequest larger than 1000 bytes (--max_message_bytes)"]
    ]


@pytest.mark.slow
def test_strange_answers_are_shown_or_refused(single: PageServer) -> None:
    """Numbers that are not finite, which TF Serving writes although JSON has none, and what a proxy may send."""
    strange = [
        (200, '{"predictions": [{"label": "\\u202e<b>NaN", "score": NaN, "probabilities": [NaN, -Infinity, 0.25]}]}'),
        (200, '{"predictions": [{"label": "bad", "score": 1e-7, "probabilities": [1e-7, 0, 0]}]}'),
        (503, "<html>no backend</html>"),
        (200, "<html>log in</html>"),
        (200, "{}"),
        (500, '{"error": "<img src=x onerror=alert(1)>"}'),
    ]
    steps: list[tuple[Any, ...]] = [READY, ("fill", "#text", TEXT)]
    for status, body in strange:
        steps += [("reply", "**/*:predict", status, body), ("click", "#send"), ("gone", "[aria-busy=true]")]
        steps += [("read", "#label, #scores, #problem")]
    found = drive(single.url, steps)
    assert found["results"] == [
        ["\ufffd<b>NaN\nnot a number", "très 好\n0.250\nbad\nnot a number\ngood\nnot a number"],
        ["bad\n< 0.001", "bad\n< 0.001\ngood\n0.000\ntrès 好\n0.000"],
        ["The server is not available\nHTTP status 503, without JSON"],
        ["The server could not answer\nHTTP status 200, without JSON"],
        ["The answer holds no prediction\nIs this TF Serving's API?"],
        ["The server could not answer\n<img src=x onerror=alert(1)>"],
    ]
    assert unexpected(found) == []


@pytest.mark.slow
def test_copying_works_where_a_page_has_no_clipboard(single: PageServer) -> None:
    """Without HTTPS a browser offers one only to pages of its own machine."""
    steps = [READY, ("fill", "#text", TEXT), ("evaluate", "void (navigator.clipboard.writeText = undefined)")]
    steps += [("click", "#copy-python"), ("see", "#copy-python", "Copied"), ("clipboard",), ("read", "#python")]
    copied, shown = drive(single.url, steps)["results"]
    assert [copied] == shown


@pytest.mark.slow
def test_twenty_thousand_labels_show_the_first_ten_at_once(tmp_path: Path) -> None:
    from tiny_exports import export

    from tflite.host.labels import LabelSpace

    labels = tuple(f"label {number} <b>" for number in range(20_000))
    export("single", tmp_path / "many" / "1", labels=LabelSpace(labels=labels))
    server = start(tmp_path, {"many": tmp_path / "many"})
    steps = [("see", "#about", "20,000 labels"), ("fill", "#text", TEXT), ASK, ("see", "#answer", "ms")]
    steps += [("read", ".bars .name"), ("read", "#scores p"), ("evaluate", "document.querySelectorAll('*').length")]
    try:
        names, (rest,), elements = drive(server.url, steps)["results"]
        answer = answer_of(server, "many", TEXT)
    finally:
        server.stop()
    ranked = sorted(range(20_000), key=lambda index: -answer["probabilities"][index])
    assert names == [labels[index] for index in ranked[:10]]
    assert rest.startswith("19,990 more labels, each with ")
    assert elements < 300


@pytest.mark.slow
def test_over_tls_the_calls_are_encrypted(single: PageServer, tmp_path: Path) -> None:
    key, certificate = self_signed(tmp_path)
    flags = f"--ssl_key_file={key}", f"--ssl_certificate_file={certificate}"
    server = start(tmp_path, {"single": single.log.parent / "single"}, *flags)
    url = server.url.replace("http:", "https:")
    try:
        assert httpx.get(url, verify=False).status_code == 200
        found = drive(url, [READY, ("fill", "#text", TEXT), ASK, ASKED, ("read", "#curl, #python, #calls-note")])
    finally:
        server.stop()
    note, curl, python = found["results"][0]
    assert f"page: {url}" in server.log.read_text()
    assert f"{url}v1/models/single:predict" in curl
    assert "grpcs://127.0.0.1:" in python
    assert "--cacert" in note
    assert found["console"] == []
