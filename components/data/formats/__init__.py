"""Files as tables of cells: CSV, TSV, JSON Lines, Parquet, TFRecord, compressed or not.

Reads in constant memory, and names the line that cannot be read. Knows nothing about the columns' meaning.
"""
