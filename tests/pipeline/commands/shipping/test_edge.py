"""`transom edge`: exports, queries, measures and inspects bundles."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny_exports import Exported

from models.errors import ConfigError, DataError, ModelError
from pipeline.cli import main
from tflite.bundle.bundle_folder import check_golden
from tflite.convert.variants import VARIANTS
from tflite.host.manifest import Manifest

TEXTS = ["the film was good", "bad films, bad cafe!", "好电影"]


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_the_help_lists_the_variants(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["edge", "export", "--help"])
    assert f"{{{','.join(VARIANTS)}}}" in printed(capsys)


@pytest.mark.slow
def test_a_bundle_predicts_like_its_pushed_model(
    exports: dict[str, Exported], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    source = str(shutil.copytree(exports["single"].folder, tmp_path / "7"))
    lineage = Path(source, "assets.extra", "lineage.json")
    lineage.write_text('{"format": 1}')
    assert main(["edge", "export", source, str(bundle), "--variant", "float32", "--length", "8", "--length", "32"]) == 0
    assert (bundle / lineage.name).read_bytes() == lineage.read_bytes()
    assert lineage.name not in Manifest.load(bundle).sha256, "it is no part of what the bundle computes"
    assert "float32" in printed(capsys)
    check_golden(bundle)
    for command in (["edge", "run"], ["predict"]):
        assert main([*command, str(bundle), *TEXTS, "--json"]) == 0
        rows = [json.loads(line) for line in printed(capsys).splitlines()]
        wanted = exports["single"].ask_keras([text.encode() for text in TEXTS])
        assert [row["label"] for row in rows] == [label.decode() for label in wanted["label"].tolist()]
        assert [row["score"] for row in rows] == pytest.approx(wanted["score"].tolist(), abs=1e-4)
    assert main(["edge", "inspect", str(bundle)]) == 0
    shown = printed(capsys)
    assert "classify_8, classify_32" in shown
    assert "vocab.txt, labels.txt" in shown
    assert main(["edge", "inspect", str(bundle), "--json"]) == 0
    assert json.loads(printed(capsys))["operations"]["EMBEDDING_LOOKUP"] > 0


@pytest.mark.slow
def test_pairs_are_calibrated_with_the_lines_of_a_file(
    exports: dict[str, Exported], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pairs.txt"
    file.write_text("".join(f"{one}\t{two}\n" for one in TEXTS for two in TEXTS), encoding="utf-8")
    bundle, source = str(tmp_path / "bundle"), str(exports["number"].folder)
    assert main(["edge", "export", source, bundle, "--variant", "int8", "--file", str(file)]) == 0
    golden = [json.loads(line) for line in (tmp_path / "bundle" / "golden.jsonl").read_text().splitlines()]
    assert {(row["text"], row["text_pair"]) for row in golden} >= {(one, two) for one in TEXTS for two in TEXTS}
    printed(capsys)
    assert main(["edge", "run", bundle, "good", "--pair", "bad"]) == 0
    wanted = exports["number"].ask_keras([b"good"], [b"bad"])["score"][0]
    assert float(printed(capsys).split("\t")[0]) == pytest.approx(wanted, abs=3 * exports["number"].labels.std)


@pytest.mark.slow
def test_bundles_are_measured_beside_each_other(
    exports: dict[str, Exported], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, texts = str(exports["single"].folder), tmp_path / "texts.txt"
    texts.write_text("".join(f"{text}\n" for text in TEXTS), encoding="utf-8")
    for variant in ("float32", "dynamic_int8"):
        arguments = [source, str(tmp_path / variant), "--variant", variant, "--file", str(texts)]
        assert main(["edge", "export", *arguments]) == 0
        assert f"of {len(TEXTS)} rows" in printed(capsys)
    parity = json.loads((tmp_path / "float32" / "edge.json").read_text())["report"]["parity"]
    assert parity["agreement"] == 1
    bundles = [str(tmp_path / variant) for variant in ("float32", "dynamic_int8")]
    assert main(["edge", "bench", *bundles, "--runs", "3"]) == 0
    table = printed(capsys).splitlines()
    assert len(table) == 3
    assert table[1].split()[-1] == "1.00"
    assert main(["edge", "bench", *bundles, "--runs", "3", "--json"]) == 0
    rows = [json.loads(line) for line in printed(capsys).splitlines()]
    assert rows[0]["bytes"] > rows[1]["bytes"]
    assert main(["edge", "bench", *bundles, "--runs", "0"]) == ConfigError.exit_code
    assert main(["edge", "bench", str(tmp_path)]) == ModelError.exit_code
    assert "no edge bundle in" in capsys.readouterr().err


def test_what_cannot_be_exported(
    exports: dict[str, Exported], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, bundle = str(exports["single"].folder), str(tmp_path / "bundle")
    tabs = tmp_path / "tabs.txt"
    tabs.write_text("good\tbad\n")
    for arguments, code, words in (
        ([source, bundle, "--file", str(tabs)], ModelError.exit_code, "reads one text"),
        ([str(tmp_path), bundle], ModelError.exit_code, "no model in"),
        ([source, bundle, "--length", "4000"], ConfigError.exit_code, "4 to 32 tokens"),
        ([source, bundle, "--variant", "int8"], ModelError.exit_code, "cannot be calibrated"),
        ([source, bundle, "--file", str(tmp_path / "none.txt")], DataError.exit_code, "none.txt"),
    ):
        assert main(["edge", "export", *arguments]) == code
        error = capsys.readouterr().err
        assert words in error
        assert "Traceback" not in error
        assert not (tmp_path / "bundle").exists()
    assert main(["edge", "inspect", str(tmp_path)]) == ModelError.exit_code
    assert "no edge bundle" in capsys.readouterr().err
