"""The page in a real browser: every kind of model, both themes, a phone, and what goes wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from chromium import drive
from page_servers import PageServer, start
from page_steps import ASK, ASKED, TEXT, answer_of, unexpected

KINDS = {"pair": "two texts", "multi": "any number of 3", "number": "a number", "single": "one of 3 labels"}


def test_a_text_gets_its_label_scores_words_and_calls(single: PageServer) -> None:
    steps = [
        ("see", "#about", "one of 3 labels"),
        ("evaluate", "document.activeElement.tagName"),
        ("fill", "#text", TEXT),
        ASK,
        ASKED,
        *[("read", selector) for selector in ("#title", "#label", ".bars .name", ".bars .value", "blockquote span")],
        ("read", "#latency"),
        ("evaluate", "[...document.querySelectorAll('.for, .against')].length > 0"),
        ("read", "#curl, #python"),
        ("read", "#model, #version, #pair, #key"),
    ]
    found = drive(single.url, steps)
    answer = answer_of(single, "single", TEXT)
    ranked = sorted(zip(answer["probabilities"], ("bad", "good", "très 好"), strict=True), reverse=True)
    focused, title, label, names, values, words, latency, marked, calls, hidden = found["results"]
    assert (focused, title) == ("BODY", ["single"])
    assert label == [f"{answer['label']}\n{answer['score']:.3f}"]
    assert names == [name for _, name in ranked]
    assert values == [f"{score:.3f}" for score, _ in ranked]
    assert [word for word in words if word.strip()] == TEXT.split()
    assert latency[0].startswith("Round trip ")
    assert latency[0].endswith(" ms, measured in this browser.")
    assert marked
    assert [TEXT in call for call in calls] == [True, True]
    assert f"{single.url}v1/models/single:predict" in calls[0]
    assert f"grpc://127.0.0.1:{single.port}" in calls[1]
    assert hidden == []
    assert found["console"] == []
    assert {url.split(" ")[1].startswith(single.url) for url in found["requests"]} == {True}


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_every_kind_of_model_fits_and_is_accessible_in_both_themes(
    width: int, scheme: str, several: PageServer, tmp_path: Path
) -> None:
    seen = [
        ("violations",),
        ("evaluate", "document.documentElement.scrollWidth > window.innerWidth"),
    ]
    steps: list[tuple[Any, ...]] = [("see", "#about", "labels"), *seen]
    for kind, about in KINDS.items():
        steps += [("choose", "#model", kind), ("see", "#about", about), ("fill", "#text", TEXT)]
        steps += [("fill", "#pair", "film unbad")] if kind in ("pair", "number") else []
        steps += [
            ("click", "#send"),
            ASKED if kind in ("pair", "single") else ("see", "#marked", "without attributions"),
        ]
        steps += [("picture", str(tmp_path / f"{kind}.png")), *seen]
    steps += [("choose", "#model", "broken"), ("see", "#problem", "not loaded"), *seen]
    found = drive(several.url, steps, width, scheme)
    assert found["results"] == [[], False] * 6
    assert unexpected(found) == []
    assert len(list(tmp_path.glob("*.png"))) == 4


@pytest.mark.slow
def test_every_kind_of_task_shows_the_answer_that_the_server_gives(several: PageServer) -> None:
    steps: list[tuple[Any, ...]] = [("see", "#about", "labels")]
    for kind, about in KINDS.items():
        steps += [("choose", "#model", kind), ("see", "#about", about), ("fill", "#text", TEXT)]
        steps += [("fill", "#pair", "film unbad")] if kind in ("pair", "number") else []
        steps += [
            ("click", "#send"),
            ("see", "#answer", "ms"),
            ("see", "#marked", "t"),
            ("read", "#label"),
            ("read", "#scores"),
        ]
    pair, pair_scores, multi, multi_scores, number, number_scores, single, _ = drive(several.url, steps)["results"]
    assert pair[0].split("\n")[0] == answer_of(several, "pair", TEXT, "film unbad")["label"]
    assert len(pair_scores[0].split("\n")) == 4
    probabilities = dict(zip("xyz", answer_of(several, "multi", TEXT)["probabilities"], strict=True))
    over = sorted((name for name in "xyz" if probabilities[name] >= 0.5), key=probabilities.get, reverse=True)
    assert multi[0].split() == (over or ["No", "label"])
    assert f"{len(over)} of 3 labels" in multi_scores[0]
    assert multi_scores[0].count("✓") == len(over)
    assert number == [str(answer_of(several, "number", TEXT, "film unbad"))]
    assert number_scores == []
    assert single[0].split("\n")[0] == answer_of(several, "single", TEXT)["label"]


@pytest.mark.slow
def test_versions_and_labels_are_chosen_and_shown_in_the_calls(several: PageServer) -> None:
    steps = [
        ("see", "#about", "version 2"),
        ("choose", "#version", "stable"),
        ("see", "#about", "version 1"),
        ("read", "#curl, #python"),
        ("fill", "#text", "a"),
        ASK,
        ASKED,
        ("choose", "#version", "2"),
        ("see", "#about", "version 2"),
        ("read", "#answer, #words"),
        ("read", "#curl, #python"),
    ]
    found = drive(several.url, steps)
    labelled, cleared, pinned = found["results"]
    assert "/labels/stable:predict" in labelled[0]
    assert 'label="stable"' in labelled[1]
    assert cleared == []
    assert "/versions/2:predict" in pinned[0]
    assert "version=2" in pinned[1]
    assert [url for url in found["requests"] if url.endswith(":predict")] == [
        f"POST {several.url}v1/models/single/versions/1:predict"
    ] * 2


@pytest.mark.slow
def test_what_cannot_be_asked_says_why(several: PageServer) -> None:
    steps = [
        ("see", "#about", "labels"),
        ("choose", "#model", "floats"),
        ("see", "#problem", "cannot ask"),
        ("read", "#problem, #calls"),
        ("choose", "#model", "broken"),
        ("see", "#problem", "could not be loaded"),
        ("choose", "#model", "single"),
        ("see", "#about", "labels"),
        ("read", "#problem"),
        ("offline",),
        ("click", "#send"),
        ("see", "#problem", "cannot be reached"),
        ("evaluate", "document.querySelector('#send').getAttribute('aria-disabled')"),
    ]
    found = drive(several.url, steps)
    (floats,), none, disabled = found["results"]
    assert floats.endswith("floats reads x (float).")
    assert (none, disabled) == ([], "false")
    assert unexpected(found) == []


@pytest.mark.slow
def test_the_keyboard_is_enough_and_the_answer_is_announced(single: PageServer) -> None:
    focused = ("evaluate", "document.activeElement.id || document.activeElement.tagName")
    outlined = ("evaluate", "getComputedStyle(document.activeElement).outlineStyle")
    steps = [("see", "#about", "labels"), ("press", "Tab"), focused, ("press", "Enter"), focused, outlined]
    steps += [("press", "b"), ("press", "Tab"), focused, outlined, ("hold", "**/*:predict", "attributions")]
    steps += [("press", "Enter"), ("see", "#answer", "ms"), ("read", "[role=status]"), ("release",), ASKED]
    steps += [("read", "[role=status]"), ("press", "Tab"), focused, ("press", "Enter"), ("see", "table", "log odds")]
    steps += [("press", "Tab"), focused, ("press", "Enter"), ("see", "[role=status]", "Copied")]
    skip, text, text_outline, send, send_outline, answer, words, details, copying = drive(single.url, steps)["results"]
    assert (skip, text, send, details, copying) == ("A", "text", "send", "SUMMARY", "copy-curl")
    assert (text_outline, send_outline) == ("solid", "solid")
    found = answer_of(single, "single", "b")
    assert answer == [f"Answer: {found['label']} {found['score']:.3f}"]
    assert words == ["The words that made the answer are marked"]


@pytest.mark.slow
def test_a_key_is_asked_for_kept_in_memory_and_never_shown(single: PageServer, tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    entry = 'api_key {{ name: "{0}" sha256: "{1}" model: "{0}" }}'
    keys.write_text(
        "".join(entry.format(name, hashlib.sha256(f"key-{name}".encode()).hexdigest()) for name in ("one", "two"))
    )
    base = single.log.parent / "single"
    server = start(tmp_path, {"one": base, "two": base}, f"--api_keys_file={keys}")
    steps = [
        ("see", "#request", "API key"),
        ("evaluate", "[document.activeElement.id, document.activeElement.type]"),
        ("click", "#send"),
        ("see", "#problem", "key is needed"),
        ("fill", "#key", "wrong"),
        ("click", "#use-key"),
        ("see", "#problem", "missing or not known"),
        ("fill", "#key", "clé"),
        ("click", "#use-key"),
        ("see", "#problem", "ASCII"),
        ("fill", "#key", "key-two"),
        ("press", "Enter"),
        ("see", "#about", "labels"),
        ("violations",),
        ("read", "#title, #model"),
        ("fill", "#text", TEXT),
        ASK,
        ASKED,
        ("read", "#curl, #python"),
        ("evaluate", "[document.documentElement.outerHTML.includes('key-two'), location.href, document.cookie]"),
        ("evaluate", "localStorage.length + sessionStorage.length"),
    ]
    try:
        found = drive(server.url, steps)
    finally:
        server.stop()
    field, violations, title, calls, (shown, address, cookie), stored = found["results"]
    assert (field, violations, title) == (["key", "password"], [], ["two"])
    assert "Bearer $API_KEY" in calls[0]
    assert "os.environ['API_KEY']" in calls[1]
    assert (shown, address, cookie, stored) == (False, server.url, "", 0)
    assert not any("key-" in text for text in (*calls, *found["requests"]))
    assert unexpected(found) == []
