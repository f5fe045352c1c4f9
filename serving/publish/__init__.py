"""Version folders under a base path, and the operations that a version of TF Serving has.

Standard library only. No server.
"""
