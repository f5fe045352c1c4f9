"""`transom schema`: prints every key of transom.yaml."""

from __future__ import annotations

import argparse

from pipeline.commands.arguments import Commands, add_command


def add(commands: Commands) -> None:
    parser = add_command(
        commands,
        "schema",
        schema,
        "print every key of transom.yaml",
        "Prints the JSON Schema of transom.yaml, with which an editor completes and explains the keys: save it in a "
        "file next to transom.yaml and put this line at the top of transom.yaml:\n"
        "  # yaml-language-server: $schema=transom.schema.json",
        """
        transom schema > transom.schema.json
        transom schema --markdown | less               a reference to read: docs/configuration.md
        """,
    )
    parser.add_argument("--markdown", action="store_true", help="print a reference of every key instead")


def schema(options: argparse.Namespace) -> int:
    from pipeline.configuration import reference

    print(reference.markdown() if options.markdown else reference.json_schema())
    return 0
