"""Usual names of text and label columns, the preferred ones first."""

from __future__ import annotations

# fmt: off
TEXT_NAMES = (
    "text", "sentence", "review", "content", "body", "comment", "message", "tweet", "utterance", "document",
    "article", "description", "query", "question", "post", "input", "headline", "title",
)
LABEL_NAMES = (
    "label", "labels", "class", "category", "target", "sentiment", "intent", "emotion", "polarity", "topic", "tag",
    "tags", "score", "similarity", "rating", "stars", "grade", "answer", "y", "output",
)
# fmt: on
