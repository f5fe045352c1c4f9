from __future__ import annotations

import pytest
import tiny_byte_pairs
from tiny_exports import Exported, export
from tiny_sentencepiece import ALBERT, sentencepiece_tokenizer


@pytest.fixture(scope="session")
def all_exports(exports: dict[str, Exported], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """The exports of all tests, and some with other tokenizers."""
    folder = tmp_path_factory.mktemp("exports")
    made = dict(exports)
    made["sentencepiece"] = export("single", folder / "sentencepiece", sentencepiece_tokenizer("unigram", ALBERT))
    made["byte_pair"] = export("single", folder / "byte_pair", tiny_byte_pairs.tokenizer())
    made["byte_pair of pairs"] = export("pair", folder / "byte_pair_of_pairs", tiny_byte_pairs.tokenizer())
    return made
