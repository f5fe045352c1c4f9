"""Recognizes variables that contain a credential in clear text. Standard library only."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_NAMES = re.compile(
    r"(TOKENS?|PASSWORDS?|PASSWD|PASSPHRASE|(^|_)(PASS|PWD)|SECRETS?|CREDENTIALS?"
    r"|(API|ACCESS|SECRET|PRIVATE|ACCOUNT|AUTH|SIGNING|ENCRYPTION)_?KEYS?(_?ID)?)$",
    re.IGNORECASE,
)
# Credentials that are recognizable by their form, under any name.
_VALUES = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\b(AKIA|ASIA)[0-9A-Z]{16}\b"  # AWS
    r"|\bhf_[A-Za-z0-9]{20,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{20,}"
    r"|\bsk-[\w-]{20,}|\bxox[abprs]-[\w-]{10,}|\bAIza[\w-]{35}|\bya29\.[\w-]{20,}"
    r"|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*"  # a JSON web token
    r"|\"private_key\"\s*:|\bAccountKey=[\w+/=]{20,}"
)
_PLACE = re.compile(
    r"(/|\./|\.\./|~/|[A-Za-z]:[\\/]|file:)[^\s!#$%^&*=;\"']*$|[^\s:]*[/\\][^/\\\s]*\.[A-Za-z0-9]{1,6}$"
)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s@]+$")
# Switches, references, and the tokens of texts and their number: USE_TOKEN=true, PAD_TOKEN=[PAD], MAX_TOKENS=512.
_SWITCH = re.compile(r"(true|false|yes|no|on|off|none|null|auto|required|optional|\$\(\w+\))?$", re.IGNORECASE)
_TEXT_TOKEN = re.compile(r"(-?\d{1,6}|\[\w+\]|</?\w+>)$")
_AWS_SECRET = re.compile(r"[A-Za-z0-9/+]{40}$")


def is_credential(name: str, value: str) -> bool:
    """Whether a variable's value is a secret, rather than the path or address of one."""
    if _VALUES.search(value) or _in_url(value):
        return True
    value = value.strip()
    if not _NAMES.search(name) or _SWITCH.match(value):
        return False
    if re.search("TOKENS?$", name, re.IGNORECASE) and _TEXT_TOKEN.match(value):
        return False
    return not _is_place(value)


def _in_url(value: str) -> bool:
    """Whether a URL contains a password: postgres://me:secret@host/table."""
    for part in value.split():
        try:
            if "://" in part and urlsplit(part).password:
                return True
        except ValueError:  # not a URL
            continue
    return False


def _is_place(value: str) -> bool:
    """Whether it is a path or an address; a secret of 40 random characters may also begin with a slash."""
    if _AWS_SECRET.match(value) and all(re.search(kind, value) for kind in ("[a-z]", "[A-Z]", "[0-9]")):
        return False
    return bool(_PLACE.match(value) or _ADDRESS.match(value))
