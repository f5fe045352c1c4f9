"""What the environments of the other frameworks are made of: per framework the packages, and their hashed lock.

FRAMEWORK.in has the packages, FRAMEWORK.overrides those that are left out; `make lock` resolves them into
FRAMEWORK.lock. A package of its own, so that only what reads a lock depends on it (`components/fingerprint.py`).
"""
