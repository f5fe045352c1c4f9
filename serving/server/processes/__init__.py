"""Serving processes: one alone, or workers under a supervisor; their start, reloads and end.

No requests.
"""
