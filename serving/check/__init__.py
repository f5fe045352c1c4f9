"""The real server as a child process, and real rows replayed against it: what the serving gate uses.

No deciding: the gate does that.
"""
