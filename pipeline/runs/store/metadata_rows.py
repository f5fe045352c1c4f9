"""Checks each value in TFX's metadata store against what ml-metadata assumes. No TensorFlow, no TFX."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

TABLES = frozenset(
    f"{kind}{part}" for kind in ("Artifact", "Execution", "Context", "Type") for part in ("", "Property")
) | {"ParentType", "ParentContext", "Event", "EventPath", "Association", "Attribution", "MLMDEnv"}
_INTEGER = "'integer'"
_STORED = {
    **dict.fromkeys(("INT", "INTEGER", "TINYINT", "BOOLEAN"), _INTEGER),
    **dict.fromkeys(("TEXT", "VARCHAR"), "'text'"),
    "DOUBLE": "'real', 'integer'",
    "BLOB": "'blob', 'text'",
}
# Flags and the values of ml_metadata's enumerations.
_RANGES = {
    **dict.fromkeys(("is_custom_property", "is_index_step", "bool_value"), (0, 1)),
    "type_kind": (0, 2),
    "data_type": (0, 6),
    "state": (0, 6),
    "last_known_state": (0, 6),
    "type": (0, 8),
    "step_index": (0, 2**31),
    **dict.fromkeys(
        ("create_time_since_epoch", "last_update_time_since_epoch", "milliseconds_since_epoch"), (0, 2**62)
    ),
}
_REFERENCES = (
    ("Execution", "type_id", "Type", "type_kind = 0"),
    ("Artifact", "type_id", "Type", "type_kind = 1"),
    ("Context", "type_id", "Type", "type_kind = 2"),
    ("TypeProperty", "type_id", "Type", "1"),
    ("ArtifactProperty", "artifact_id", "Artifact", "1"),
    ("ExecutionProperty", "execution_id", "Execution", "1"),
    ("ContextProperty", "context_id", "Context", "1"),
    ("Event", "artifact_id", "Artifact", "1"),
    ("Event", "execution_id", "Execution", "1"),
    ("EventPath", "event_id", "Event", "1"),
    ("Association", "context_id", "Context", "1"),
    ("Association", "execution_id", "Execution", "1"),
    ("Attribution", "context_id", "Context", "1"),
    ("Attribution", "artifact_id", "Artifact", "1"),
)


def invalid_row(store: sqlite3.Connection) -> str | None:
    """Describes the first invalid row, if there is one: ml-metadata aborts the process at an invalid flag.

    Raises:
        sqlite3.Error, UnicodeDecodeError, OverflowError: a value cannot be read.
    """
    return next((problem for problem in _problems(store) if problem is not None), None)


def _problems(store: sqlite3.Connection) -> Iterator[str | None]:
    for table in sorted(TABLES):
        for _ in store.execute(f"SELECT * FROM {table}"):
            pass  # SQLite does not check texts; Python decodes them
        for _, column, declared, *_ in store.execute(f"PRAGMA table_info({table})").fetchall():
            stored = _STORED.get(declared.partition("(")[0])
            if stored is None:
                yield f"{table}.{column} is a {declared!r}"
                continue
            wrong = f"typeof({column}) NOT IN ({stored}, 'null')"
            if column in _RANGES:
                low, high = _RANGES[column]
                wrong += f" OR {column} NOT BETWEEN {low} AND {high}"
            yield _row(store, table, f"an invalid {column}", wrong)
    for table, column, others, condition in _REFERENCES:
        wrong = f"{column} NOT IN (SELECT id FROM {others} WHERE {condition})"
        yield _row(store, table, f"a {column} that does not exist", wrong)


def _row(store: sqlite3.Connection, table: str, what: str, wrong: str) -> str | None:
    found = store.execute(f"SELECT rowid FROM {table} WHERE {wrong} LIMIT 1").fetchone()
    return None if found is None else f"row {found[0]} of {table} has {what}"
