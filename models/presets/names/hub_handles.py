"""Handles of models on the hubs, and what people write instead: a page's address, another prefix. No network."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

FORMS: Mapping[str, str] = {
    "hf": "hf://OWNER/NAME",
    "kaggle": "kaggle://OWNER/MODEL/FRAMEWORK/VARIATION, and /VERSION if it is not the newest",
}
"""What a handle looks like, by hub."""

_HUBS = {"hf": "hf", "hfhub": "hf", "huggingface": "hf", "kaggle": "kaggle", "kagglehub": "kaggle"}
_HOSTS = {"huggingface.co": "hf", "hf.co": "hf", "kaggle.com": "kaggle"}
# "hf://", and with a slash or the colon missing or with another name; a web address's beginning; a page's host.
_PREFIX = re.compile(r"(hugging[-_]?face|hf(?:[-_]?hub)?|kaggle(?:[-_]?hub)?|https?|ssh)(?::/*|//+)(.*)", re.I | re.S)
_HOST = re.compile(r"(?:git@)?(?:www\.)?(huggingface\.co|hf\.co|kaggle\.com)(?:[/:]+(.*)|$)", re.I | re.S)
# kagglehub's own form of KerasHub's checkpoints, without "kaggle://".
_KERAS = re.compile(r"keras/[^/]+/keras/[^/]+(/\d+)?")
# Models that are on Hugging Face's hub without an owner too, because they are older than owners; the others of those
# times are of families that cannot be used. https://huggingface.co/google-bert has them, for example.
_WITHOUT_OWNER = ("bert-", "distilbert-", "distilroberta-", "roberta-", "albert-")
# Parts of Hugging Face's addresses: after a model's name, and instead of an owner's.
_OF_A_MODEL = {"tree", "blob", "resolve", "raw", "edit", "commit", "commits", "discussions"}
_NO_OWNERS = {"datasets", "spaces", "models", "collections", "docs", "papers", "blog", "tasks", "learn"}


@dataclass(frozen=True)
class Reference:
    """A text that points to something outside this machine, and is not written as a handle.

    Attributes:
        hub: "hf" or "kaggle"; "" if it is neither.
        handle: what it points to, without the hub's prefix, which need not be a whole handle; "" if it is no model.
        page: it is the address of a web page.
        revision: of the model, if one other than the main one is named.
    """

    hub: str
    handle: str = ""
    page: bool = False
    revision: str = ""


def is_handle(hub: str, handle: str) -> bool:
    """Whether `handle` can be a model's on this hub, as its client sees it; stricter only with empty parts and Kaggle's
    versions, and with names without an owner, of which Hugging Face's hub has only its oldest models."""
    if hub == "hf":
        from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # its docstring's own import

        try:
            validate_repo_id(handle)
        except ValueError:
            return False
        return "/" in handle or handle.startswith(_WITHOUT_OWNER)
    parts = handle.split("/")
    if hub != "kaggle" or not all(parts) or len(parts) not in (4, 5) or not all(map(_is_version, parts[4:])):
        return False
    from kagglehub.handle import parse_model_handle

    try:
        parse_model_handle(handle).framework_enum()
    except ValueError:
        return False
    return True


def points_to_a_hub(preset: str) -> bool:
    """Whether this is meant for a hub, well or badly written, rather than as a folder's path."""
    text = preset.strip()
    return "://" in text or any(pattern.fullmatch(text) for pattern in (_PREFIX, _HOST, _KERAS))


def read_reference(preset: str) -> Reference | None:
    """What a text that is not a handle points to; None if it does not point outside this machine."""
    if not points_to_a_hub(preset):
        return None
    hub, text, page = "", preset.strip(), False
    if _KERAS.fullmatch(text):
        return Reference("kaggle", text)
    while found := _PREFIX.fullmatch(text):
        hub, text = _HUBS.get(re.sub("[-_]", "", found[1].lower()), hub), found[2]
    if found := _HOST.fullmatch(text):
        hub, text, page = _HOSTS[found[1].lower()], found[2] or "", True
    elif not hub:
        scheme, _, text = text.rpartition("://")
        near = difflib.get_close_matches(scheme.lower(), _HUBS, n=1, cutoff=0.75)
        hub = _HUBS[near[0]] if near else ""
    parts = [part for part in re.split("[?#]", text)[0].split("/") if part]
    if hub == "hf" and not page and is_handle("kaggle", "/".join(parts)):
        hub = "kaggle"
    if hub == "hf":
        return _hugging_face(parts, page)
    return Reference("kaggle", _kaggle(parts, page), page) if hub else Reference("")


def _hugging_face(parts: list[str], page: bool) -> Reference:
    if parts[:2] == ["api", "models"]:
        parts = parts[1:]
    if parts[0:1] == ["models"] and len(parts) > 2:
        parts = parts[1:]
    if parts and parts[0] in _NO_OWNERS:
        return Reference("hf", page=page)
    end = next((index for index, part in enumerate(parts[:3]) if index and part in _OF_A_MODEL), 2)
    handle, _, revision = "/".join(parts[:end]).partition("@")
    if parts[end : end + 1] and parts[end] in ("tree", "blob", "resolve", "raw"):
        revision = "".join(parts[end + 1 : end + 2])
    return Reference("hf", handle.removesuffix(".git"), page, "" if revision == "main" else revision)


def _kaggle(parts: list[str], page: bool) -> str:
    if page and parts[:1] != ["models"]:
        return ""
    if parts[:1] == ["models"] and (page or len(parts) > 4):
        parts = parts[1:]
    if parts[2:3] == ["frameworks"]:  # an address as Kaggle wrote it until 2024
        parts = [part for index, part in enumerate(parts) if index not in (2, 4, 6)]
    return "/".join(parts[: 5 if len(parts) > 4 and _is_version(parts[4]) else 4])


def _is_version(part: str) -> bool:
    return part.isascii() and part.isdecimal() and int(part) > 0
