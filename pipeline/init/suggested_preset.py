"""The pretrained encoder that `transom init` proposes, by the language of the texts and what is installed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from models.config import TokenizerConfig
from models.presets.preset_names import MINILM
from pipeline.init.language import judge_language
from pipeline.init.task_inference import InferredTask

# Encoders for other languages, on Hugging Face's hub.
_HANDLES = {"German": "hf://google-bert/bert-base-german-cased", "Chinese": "hf://google-bert/bert-base-chinese"}
_MULTILINGUAL = "hf://google-bert/bert-base-multilingual-cased"
# Seconds of fine-tuning MiniLM-L6 per row and token on two cores, with the default epochs (benchmarks/README.md:
# 0.78 CPU seconds per step of 32 rows of 32 tokens), and how many times as long BERT-base takes.
_SECONDS, _BERT_BASE = 4 * 0.78 / (32 * 32) / 2, 8
_APART = 2  # how many times as long a sentence encoder takes for pairs, which it also reads apart
# The longest training, in minutes, that is proposed without being asked for. For pairs it may take longer: without a
# pretrained encoder they are hardly worth training.
_MINUTES, _MINUTES_OF_PAIRS = 20, 60
_TRAIN_SHARE = 0.8


@dataclass(frozen=True)
class SuggestedPreset:
    """A preset for the model.

    Attributes:
        preset: the value of `model.preset`.
        chosen: whether the written file uses it; otherwise it is proposed in a comment.
        reason: for people, in one line.
    """

    preset: str
    chosen: bool
    reason: str


def suggest_preset(inferred: InferredTask, *, split: bool) -> SuggestedPreset:
    """The preset for a table. `split`: the rows will be split, and not all of them are for training."""
    texts = list(_texts(inferred))
    language, minutes = judge_language(texts), _minutes(inferred, split=split)
    better = "far more accurate than from scratch on pairs" if inferred.text_pair else "more accurate than from scratch"
    if language != "English" and (language or not all(map(str.isascii, texts))):
        preset = _HANDLES.get(language, _MULTILINGUAL)
        seem = f"the texts look {language}" if language else "for 104 languages"
        duration = _duration(minutes * _BERT_BASE)
        reason = f"{seem}; usually {better}, but the first run downloads it, and it trains {duration}"
        return SuggestedPreset(preset, False, reason)
    minutes *= _APART if inferred.text_pair else 1
    seem = "pretrained on English" if language else "if the texts are English"
    reason = f"{seem}, {better}; the training takes {_duration(minutes)}"
    if MINILM.folder is None:
        return SuggestedPreset(MINILM.name, False, f"{reason}; to install it: {MINILM.install}")
    longest = _MINUTES_OF_PAIRS if inferred.text_pair else _MINUTES
    return SuggestedPreset(MINILM.name, bool(language) and inferred.whole and minutes <= longest, reason)


def _texts(inferred: InferredTask) -> Iterator[str]:
    for row in inferred.sample:
        yield from (row[name] for name in (inferred.text, inferred.text_pair) if name is not None and name in row)


def _minutes(inferred: InferredTask, *, split: bool) -> float:
    columns = [inferred.columns[name].tokens for name in (inferred.text, inferred.text_pair) if name is not None]
    lengths = [sum(row) + 3 for row in zip(*columns, strict=False)]
    longest = TokenizerConfig().max_length
    tokens = fmean(min(length, longest) for length in lengths) if lengths else 0.0
    return inferred.read * (_TRAIN_SHARE if split else 1.0) * tokens * _SECONDS / 60


def _duration(minutes: float) -> str:
    hours, several = f"{minutes / 60:.0f} hours", f"{minutes:.0f} minutes"
    amount = hours if minutes >= 90 else several if minutes >= 1.5 else "a minute"
    return f"about {amount} on two recent cores"
