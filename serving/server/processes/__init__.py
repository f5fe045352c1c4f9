"""Serving processes, one alone or workers under a supervisor: how they start, reload and end.

Nothing here handles requests.
"""
