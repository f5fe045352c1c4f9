"""TF Serving's JSON: request text to arrays, arrays to response text, in steps and within limits.

No HTTP.
"""
