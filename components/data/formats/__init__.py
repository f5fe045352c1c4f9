"""Files as tables of cells: CSV, TSV, JSON Lines, Parquet, TFRecord, compressed or not.

Reads in constant memory, and names the line of what cannot be read. No meaning of columns.
"""
