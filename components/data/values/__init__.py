"""What one cell means: text, a number as people write it, a list.

No files, no tables.
"""
