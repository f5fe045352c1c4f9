"""Tables as rows: CSV, TSV, JSON Lines, Parquet and TFRecords of tf.Example, read in constant memory.

`open_table` finds the format and the columns; `Table.rows` yields the rows one by one. Any problem with a file is a
`DataError` that names the file, the row (data rows from 1, without the header) and, in the text formats, the line and
the byte (of the decompressed file, from 0). Imports no TensorFlow, except for TFRecords.
"""

from __future__ import annotations

from pathlib import Path

from components.data.formats.binary_tables import ParquetTable, TFRecordTable, check_frames
from components.data.formats.files import format_of
from components.data.formats.json_lines import JsonLinesTable
from components.data.formats.separated import CsvTable, TsvTable
from components.data.formats.table import NotPlainError, Row, Span, Table

__all__ = ["NotPlainError", "Row", "Span", "Table", "check_frames", "open_table"]


def open_table(path: Path, configured: str = "auto", span: Span | None = None) -> Table:
    """Opens a table and reads its header.

    Args:
        configured: `DataConfig.format`.
        span: the part to read, one of `Table.spans`; default: all of it.

    Raises:
        DataError: the file or its header cannot be read.
    """
    table_classes: dict[str, type[Table]] = {
        "csv": CsvTable,
        "tsv": TsvTable,
        "jsonl": JsonLinesTable,
        "parquet": ParquetTable,
        "tfrecord": TFRecordTable,
    }
    return table_classes[format_of(path, configured)](path, span)
