"""What `transom doctor` examines: a module per subject, with a function `checks` that lists its checks.

What they read files with, or ask in other processes, is one folder up.
"""
