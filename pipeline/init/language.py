"""Judges the language of a table's texts, roughly: which pretrained encoder could fit. No model, no dictionary."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

# Frequent words that few other languages share; of English, also those of short questions and requests.
_WORDS = {
    "English": "the and of to is it that this with you for are was not have be my what how from can your they me do i",
    "German": "der die das und ist nicht ein eine ich zu den mit sich auf dem es für sie im wir auch von werden haben",
    "French": "le les des une est pas que pour dans sur avec vous je qui ce il cette mais nous ne plus du et sont",
    "Spanish": "el los las una que es por con para no del como pero más su muy lo se este está y hay al cuando",
    "Italian": "il che di non è una per sono con gli della ho mi anche come questo ma più nel si del hanno alla",
    "Portuguese": "o os uma que não é para com por mais do da em como mas você eu se muito foi ao na são isso",
    "Dutch": "het een van niet dat ik zijn met voor op te maar wat je ook deze naar hebben dit aan heb er wordt bij",
    "Scandinavian": "og det er ikke som på til av jeg den med har att och är inte en för jag et vi af de",
    "Polish": "nie się na jest że do jak ale co to za już tak po czy tylko był przez od dla ma są o",
    "Turkish": "bir ve bu için çok da de ile ne gibi daha ama var ben o değil kadar en olarak mı",
}
_FUNCTION_WORDS = {language: frozenset(words.split()) for language, words in _WORDS.items()}
# The least share of these words among a text's words, the least number of different ones, and the least share of words
# in plain ASCII if the language is English.
_LEAST, _DIFFERENT, _ASCII = 0.08, 3, 0.95
_SCRIPTS = (
    ("Japanese", r"[\u3040-\u30ff]", 0.1),
    ("Chinese", r"[\u3400-\u9fff]", 0.3),
    ("Korean", r"[\uac00-\ud7af]", 0.3),
    ("Russian, or another in Cyrillic", r"[\u0400-\u04ff]", 0.5),
    ("Arabic", r"[\u0600-\u06ff]", 0.5),
    ("Hindi, or another in Devanagari", r"[\u0900-\u097f]", 0.5),
    ("Thai", r"[\u0e00-\u0e7f]", 0.5),
    ("Hebrew", r"[\u0590-\u05ff]", 0.5),
    ("Greek", r"[\u0370-\u03ff]", 0.5),
)


def judge_language(texts: Iterable[str]) -> str:
    """The language of most texts: one of those above, or "" if it cannot be told."""
    joined = " ".join(texts).casefold()
    letters = sum(map(str.isalpha, joined))
    if not letters:
        return ""
    for language, pattern, least in _SCRIPTS:
        if len(re.findall(pattern, joined)) > least * letters:
            return language
    words = re.findall(r"[^\W\d_]+", joined)
    shares = Counter(
        {language: sum(word in known for word in words) / len(words) for language, known in _FUNCTION_WORDS.items()}
    )
    language, share = shares.most_common(1)[0]
    foreign = language == "English" and sum(map(str.isascii, words)) < _ASCII * len(words)
    few = len(_FUNCTION_WORDS[language].intersection(words)) < _DIFFERENT
    return "" if share < _LEAST or few or foreign else language
