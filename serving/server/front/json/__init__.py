"""TF Serving's JSON, without HTTP: request text to arrays and arrays to response text, in steps and within limits."""
