"""The meaning of one cell: text, a number as people write it, a list.

No files, no tables.
"""
