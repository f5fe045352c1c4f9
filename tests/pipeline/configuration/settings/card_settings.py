"""`card`: what only people know, as the Pusher writes it into the model card. It is no reason to run anything else."""

from __future__ import annotations

import json

from edge_settings import SHORT, TEXT, metadata
from setting_effects import Setting, setting

from components.report.card.model_card import model_card
from components.report.page_facts import RunFacts


def cards(a: Setting, b: Setting) -> list[str]:
    return [model_card(RunFacts(config={"card": json.loads(here.steps["Pusher"]["card"])})) for here in (a, b)]


@setting("card.author", "", "Ada Lovelace", base={**TEXT, **SHORT}, steps="EdgeExporter Pusher")
def _(a: Setting, b: Setting) -> None:
    assert ["\n- author: Ada Lovelace\n" in card for card in cards(a, b)] == [False, True]
    assert [b"Ada Lovelace" in metadata(here) for here in (a, b)] == [False, True]


@setting("card.licence", "", "apache-2.0", base={**TEXT, **SHORT}, steps="EdgeExporter Pusher")
def _(a: Setting, b: Setting) -> None:
    assert ["\nlicense: apache-2.0\n" in card for card in cards(a, b)] == [False, True]
    assert [b"apache-2.0" in metadata(here) for here in (a, b)] == [False, True]


@setting("card.languages", [], ["en", "pt-BR"], steps="Pusher")
def _(a: Setting, b: Setting) -> None:
    assert ["\nlanguage:\n- en\n- pt-BR\n" in card for card in cards(a, b)] == [False, True]


@setting("card.data", "", "Reviews of **films**.", steps="Pusher")
def _(a: Setting, b: Setting) -> None:
    _said("Training data", *cards(a, b), words="Reviews of **films**.")


@setting("card.intended_use", "", "To sort mail.", steps="Pusher")
def _(a: Setting, b: Setting) -> None:
    _said("Intended use", *cards(a, b), words="To sort mail.")


@setting("card.limits", "", "It knows no irony.", steps="Pusher")
def _(a: Setting, b: Setting) -> None:
    _said("Limits", *cards(a, b), words="It knows no irony.")


def _said(section: str, before: str, after: str, *, words: str) -> None:
    """The words are in the section, in place of the sentence that nothing is stated."""
    first, second = (card.split(f"\n## {section}\n")[1].split("\n## ")[0] for card in (before, after))
    assert "Not stated (" in first
    assert words in second
    assert "Not stated (" not in second
