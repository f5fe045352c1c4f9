"""Attacks and fuzzes the real server under limits, while probes measure the effect on other callers."""
