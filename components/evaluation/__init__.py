"""Whether a model is good enough: metrics, slices, comparison with the live model, the verdict.

Plain NumPy, scikit-learn and SciPy; only the modules `tfma_*` use TFMA. No artifacts.
"""
