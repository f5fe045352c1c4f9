"""`transom presets`: lists the pretrained encoders that a project can name."""

from __future__ import annotations

import argparse

from pipeline.commands.arguments import Commands, add_command


def add(commands: Commands) -> None:
    parser = add_command(
        commands,
        "presets",
        presets,
        "list pretrained encoders that model.preset can name",
        "Prints the pretrained encoders on this machine (in packages, and in the caches of Hugging Face and Kaggle), "
        "the names that KerasHub knows, what a handle looks like, and how to get each onto a machine without a "
        "network. Downloads nothing.\n"
        "A preset is written into transom.yaml, or given with --set:\n"
        "  model: {preset: minilm-l6}\n"
        "A name or handle that is not on this machine is downloaded by the first run. BERT, DistilBERT, ELECTRA, "
        "ALBERT, DeBERTa-v3 and RoBERTa can be used; others are refused, with the reason.",
        """
        transom presets                                what is here, and what can be had
        transom presets --json | jq -r 'select(.here).preset'
        transom run --set model.preset=minilm-l6       trains with one, without a change to transom.yaml
        """,
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per line and preset")


def presets(options: argparse.Namespace) -> int:
    from pipeline.preset_list import print_presets

    print_presets(as_json=options.json)
    return 0
