"""Configuration of the task, the tokenizer, the Transformer and its training. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from models.label_names import configured_label_name
from models.settings import ConfigSection, FilePath
from models.training_config import TrainConfig
from tflite.host.prediction import TaskType

CONFIG_FILE = "transom.json"
"""In a model's `assets.extra`: its configuration, as JSON."""
REPORT_FILE = "training.json"
"""There: the report of its training, see `models.training.training_report`."""

Rows = Annotated[int, Field(ge=1)]
# Rates near 1 would drop everything.
Dropout = Annotated[float, Field(ge=0.0, le=0.99)]
Column = Annotated[str, Field(min_length=1)]


class TaskConfig(ConfigSection):
    """What the model reads and predicts."""

    type: TaskType = "single_label"
    """`single_label`: one of several labels. `multi_label`: any number of labels. `regression`: a number."""
    text: Column = "text"
    """Column with the text."""
    text_pair: Column | None = None
    """Column with the second text, for tasks about two texts."""
    label: Column = "label"
    """Column with the label."""
    labels: tuple[str, ...] | None = None
    """The labels, in the order of the model's outputs. Default: those of the training split, sorted."""
    label_separator: str = Field("|", min_length=1)
    """`multi_label`: the separator between the labels of one row. A list works too, also one written as text."""
    decimal: Literal[".", ","] | None = None
    """`regression`: the decimal separator, if a table holds numbers as text ("3,5"). Default: a point; ambiguous
    numbers ("1,000" in all rows) are refused."""
    threshold: Annotated[float, Field(ge=1e-6, le=0.999999)] | Literal["auto"] = 0.5
    """`multi_label`: a label is predicted if its probability is at least this. `auto`: the probability with the highest
    F1 on the eval rows (macro-F1 if that decides which epoch is best, else micro-F1)."""

    @field_validator("labels")
    @classmethod
    def _clean_labels(cls, given: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """White space around a label stays, because it is refused below."""
        return None if given is None else tuple(map(configured_label_name, given))

    @property
    def probability_threshold(self) -> float:
        """`threshold` as a number: 0.5 for `auto`, which a trained model's configuration has no longer."""
        return 0.5 if self.threshold == "auto" else self.threshold

    @model_validator(mode="after")
    def _columns_differ(self) -> TaskConfig:
        names = [name for name in (self.text, self.text_pair, self.label) if name is not None]
        if len(set(names)) != len(names):
            raise ValueError(f"text, text_pair and label must be different columns, got {names}")
        if self.labels is not None and self.type == "regression":
            raise ValueError("labels does not apply to a regression: remove it")
        if self.decimal is not None and self.type != "regression":
            raise ValueError("decimal applies only to a regression: remove it")
        if self.labels is not None and (len(set(self.labels)) != len(self.labels) or len(self.labels) < 2):
            raise ValueError(f"labels must be at least two different names, got {list(self.labels)}")
        for label in self.labels or ():
            if reason := self.why_no_label(label):
                raise ValueError(f"labels: no row can have the label {label!r}: {reason}")
        return self

    def why_no_label(self, name: str) -> str:
        """Why no row can have a label of this name, and what to do; "" if a row can."""
        if not name.strip():
            return "an empty field is not a label; remove it"
        if name != name.strip():
            return f"labels are read without the white space around them; write {name.strip()!r}"
        if self.type == "multi_label" and self.label_separator in name:
            return f"rows are split at {self.label_separator!r}; choose another task.label_separator, or another name"
        return ""


class TokenizerConfig(ConfigSection):
    """How text becomes token ids. A preset has its own vocabulary and casing: only `max_length` and
    `mediapipe_compatible` apply to it."""

    vocabulary_size: int = Field(8000, ge=32, le=200_000)
    """Maximum number of tokens in the learned WordPiece vocabulary."""
    lowercase: bool = True
    """Learned vocabulary: fold upper case to lower case."""
    strip_accents: bool = True
    """Learned vocabulary: "café" becomes "cafe". With `mediapipe_compatible` it does not."""
    mediapipe_compatible: bool = False
    """Split texts exactly as MediaPipe's TextClassifier does, so that the edge bundle gives the same predictions there:
    only ASCII is folded to lower case, and accents stay. For labels of single texts; a preset's vocabulary must be
    uncased WordPiece."""
    max_length: int = Field(128, ge=4, le=4096)
    """Tokens of one input, special tokens included; longer inputs are cut."""

    @model_validator(mode="before")
    @classmethod
    def _default_strip_accents(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("mediapipe_compatible") is True:
            return {"strip_accents": False, **given}
        return given

    @model_validator(mode="after")
    def _check_mediapipe(self) -> TokenizerConfig:
        if self.mediapipe_compatible and (self.strip_accents or not self.lowercase):
            wrong = "strip_accents true" if self.strip_accents else "lowercase false"
            raise ValueError(
                f"mediapipe_compatible cannot be combined with {wrong}: MediaPipe folds the case of ASCII and "
                f"keeps accents; remove {wrong.split()[0]}"
            )
        return self


class EncoderConfig(ConfigSection):
    """A Transformer encoder trained from scratch."""

    type: Literal["encoder"] = "encoder"
    """A Transformer encoder trained from scratch."""
    num_layers: int = Field(2, ge=1, le=48)
    """Transformer layers."""
    width: int = Field(128, ge=8, le=4096)
    """Size of a token's hidden state."""
    num_heads: int = Field(2, ge=1, le=64)
    """Attention heads; must divide `width`."""
    feedforward_width: int | None = Field(None, ge=8, le=65_536)
    """Width of the feed-forward layer. Default: four times `width`."""
    kernel_size: int = Field(3, ge=1, le=15)
    """Width in tokens of a convolution before the first layer; 1: no convolution."""
    linear_rows: int = Field(131_071, ge=0, le=10_000_000)
    """Most rows for pairs of neighbouring tokens in a linear model of TF-IDF features (of two texts: of what they
    share and what one has), which is fitted first and whose logits are added to the encoder's, with the weight that
    suits the eval rows. With 0, with more than 200 labels, or with more than 10 million labels times tokens, there is
    no linear model, and the encoder does not see which tokens two texts share."""
    bigrams: int = Field(0, ge=0, le=1_000_000)
    """Number of pairs of neighbouring tokens with their own embedding, of those that occur at least three times."""
    dropout: Dropout = 0.3
    """Share of activations dropped in training."""
    norm: Literal["pre", "post"] = "pre"
    """Layer normalization before each block (more stable from scratch) or after it (as in BERT)."""
    positions: Literal["learned", "rotary"] = "learned"
    """Position embeddings: learned, or rotary (RoFormer)."""
    pooling: Literal["cls", "mean", "max"] = "max"
    """Input of the head: the first token's state, or the mean or maximum over the tokens."""

    @model_validator(mode="after")
    def _check_heads(self) -> EncoderConfig:
        if self.width % self.num_heads:
            raise ValueError(f"num_heads must divide width, got width {self.width} and num_heads {self.num_heads}")
        if self.positions == "rotary" and (self.width // self.num_heads) % 2:
            raise ValueError(f"rotary positions need an even head size, got {self.width // self.num_heads}")
        return self


class PresetConfig(ConfigSection):
    """A pretrained encoder that KerasHub can read."""

    type: Literal["preset"] = "preset"
    """A pretrained encoder that KerasHub can read."""
    preset: FilePath
    """`minilm-l6`, which a package holds; a folder (KerasHub's format or Hugging Face safetensors); a hub handle
    ("hf://…", "kaggle://…"); or a name of KerasHub. `transom presets` lists them."""
    num_layers: int | None = Field(None, ge=1)
    """Keep only the first N Transformer layers."""
    freeze: Literal["none", "embeddings", "encoder"] | Annotated[int, Field(ge=0)] = "none"
    """What is not trained: nothing, the embeddings, the whole encoder, or the embeddings and the first N layers."""
    lora_rank: int | None = Field(None, ge=1, le=256)
    """Train low-rank updates (LoRA) of the attention's dense layers instead of the encoder's own weights, which are all
    frozen: `freeze` cannot be set then."""
    linear_rows: int = Field(131_071, ge=0, le=10_000_000)
    """Most rows for pairs of neighbouring tokens in a linear model of TF-IDF features (of two texts: of what they
    share and what one has), whose logits are added to the encoder's with the weight that suits the eval rows. With 0,
    with more than 200 labels, with more than 10 million labels times tokens, or for two texts with RoBERTa's tokenizer,
    there is no linear model."""
    dropout: Dropout = 0.1
    """Share of activations dropped before the head in training; the encoder keeps its own rates."""
    pooling: Literal["auto", "cls", "mean"] = "auto"
    """Input of the head. `auto`: as a sentence-transformers folder specifies, else the first token."""
    pair_encoding: Literal["auto", "together", "both"] = "auto"
    """`task.text_pair`: read the two texts `together`, or `both` together and each by itself. The head then also sees
    how far the two meanings differ; training and predicting take twice as long. `auto`: `both` for a
    sentence-transformers folder that specifies the pooling (not for RoBERTa, which marks no second text), else
    `together`."""


def _model_type(value: Any) -> str:
    """The model's `type`; if it is not given, a `preset` key decides."""
    if isinstance(value, dict):
        return str(value.get("type", "preset" if "preset" in value else "encoder"))
    return str(getattr(value, "type", "encoder"))


def names_a_preset(model: Any) -> bool:
    """Whether `model`, as written by the user and possibly invalid, is meant to be a preset."""
    return isinstance(model, dict) and (model.get("type") == "preset" or "preset" in model)


ModelConfig = Annotated[
    Annotated[EncoderConfig, Tag("encoder")] | Annotated[PresetConfig, Tag("preset")], Discriminator(_model_type)
]


class ModelsConfig(ConfigSection):
    """The sections that `models/` needs, as stored with every model."""

    task: TaskConfig = TaskConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    model: ModelConfig = EncoderConfig()
    train: TrainConfig = TrainConfig()

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> ModelsConfig:
        """These sections of a stored configuration (`CONFIG_FILE`), which has others too, such as `data` and `name`."""
        sections = {key: stored[key] for key in ModelsConfig.model_fields}
        # Models of earlier versions have no linear part, and their presets read two texts only together.
        earlier = {"pair_encoding": "together"} if names_a_preset(sections["model"]) else {}
        sections["model"] = {"linear_rows": 0, **earlier, **sections["model"]}
        return ModelsConfig.model_validate(sections)


def may_train_in_parts(model: ModelConfig, train: TrainConfig) -> bool:
    """Whether XLA may compile this training in parts only, see `models.training.frameworks.devices`."""
    return isinstance(model, PresetConfig) and train.backend == "tensorflow" and train.xla is not True
