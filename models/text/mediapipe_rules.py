"""How MediaPipe's TextClassifier tokenizes, and which vocabularies it can use. Standard library only.

It lowercases ASCII letters, ends the text at the first NUL, splits it at white space (space, tab, line feed, form feed,
carriage return), makes each punctuation mark (ASCII's, and category P) and each CJK character a word, and splits words
of at most 100 bytes into WordPiece tokens. It strips no accents, folds and decomposes nothing beyond ASCII, and keeps
control and format characters in their word. Its sources, as of 2025:
https://github.com/google-ai-edge/mediapipe/blob/master/mediapipe/tasks/cc/text/tokenizers/bert_tokenizer.h and .cc,
mediapipe/calculators/tensor/bert_preprocessor_calculator.cc (lower case, special tokens, truncation) and
mediapipe/tasks/cc/text/utils/vocab_utils.cc; `RegexSplit` and `WordpieceTokenize` are tensorflow_text's.

`models.text.preprocessing` and `tflite.host.words` do the same for a tokenizer that is `mediapipe_compatible`.
"""

from __future__ import annotations

from dataclasses import replace

from models.errors import ConfigError
from tflite.host.tokenizer import Tokenizer

# The tokens that it looks up by name; it pads with id 0.
_SPECIAL = {"start_id": "[CLS]", "end_id": "[SEP]", "unknown_id": "[UNK]"}

FORBIDDEN = "\x11"
"""Reserved by `tf_text.FastWordpieceTokenizer`, which crashes if it is both a token and a word of a text."""


def incompatibility(tokenizer: Tokenizer) -> str:
    """Why MediaPipe cannot use the vocabulary, for people; empty if it can."""
    if tokenizer.family != "wordpiece":
        return f"a vocabulary of the family {tokenizer.family}, not WordPiece"
    if not tokenizer.lowercase:
        return "a cased vocabulary, whereas MediaPipe lowercases ASCII"
    if tokenizer.pad_id != 0:
        return f"padding with id {tokenizer.pad_id}, not 0"
    for name, token in _SPECIAL.items():
        actual = tokenizer.vocabulary[getattr(tokenizer, name)]
        if actual != token:
            return f"the special token {actual!r} in place of {token!r}"
    if len(set(tokenizer.vocabulary)) != len(tokenizer.vocabulary):
        return "a vocabulary with the same token twice"
    if any(FORBIDDEN in token for token in tokenizer.vocabulary):
        return f"a vocabulary with the control character U+{ord(FORBIDDEN):04X}, that the graph cannot read"
    if any(not token or token.endswith("\r") for token in tokenizer.vocabulary):
        return "a vocabulary with an empty line or a carriage return, which MediaPipe drops"
    return ""


def make_compatible(tokenizer: Tokenizer, name: str) -> Tokenizer:
    """Makes a checkpoint's tokenizer split texts as MediaPipe does.

    Args:
        tokenizer: of a pretrained checkpoint.
        name: of the checkpoint, for the error.

    Raises:
        ConfigError: MediaPipe cannot use its vocabulary.
    """
    reason = incompatibility(tokenizer)
    if reason:
        raise ConfigError(
            f"tokenizer.mediapipe_compatible cannot be combined with {name}",
            got=reason,
            expected="an uncased WordPiece vocabulary with [CLS], [SEP], [UNK] and padding with id 0",
            fix="remove the key, or choose another model.preset",
        )
    return replace(tokenizer, strip_accents=False, mediapipe_compatible=True)
