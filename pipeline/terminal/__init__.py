"""Terminal output: live lines, plain lines, JSON Lines, and streams that may be closed or full.

Decides nothing: callers say what to print.
"""
