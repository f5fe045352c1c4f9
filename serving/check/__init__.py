"""For the serving gate: runs the real server as a child process and replays real rows against it.

The gate makes the decision.
"""
