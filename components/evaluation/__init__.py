"""Whether a model is good enough: metrics, slices, comparison with the live model, the verdict.

Plain NumPy, scikit-learn and SciPy; only `tfma_metric.py` and `tfma_rows.py` know TFMA. No artifacts.
"""
