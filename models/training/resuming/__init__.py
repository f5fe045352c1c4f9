"""What lets an interrupted training go on exactly where it stopped.

Checkpoints, the key that says whose they are, and stopping between two steps. No training itself.
"""
