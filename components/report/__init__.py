"""The report of a run: from facts (plain JSON values) to one static HTML page. Knows neither TensorFlow nor TFX."""
