"""Version folders under a base path, and which operations a version of TF Serving has.

Standard library only. No server.
"""
