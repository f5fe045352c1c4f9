"""How models run: threads, lanes, batches, and limits of memory and time.

Knows arrays and servables, not requests.
"""
