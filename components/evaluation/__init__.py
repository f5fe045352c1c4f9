"""Whether a model is good enough: metrics, slices, comparison with the live model, the verdict.

NumPy, scikit-learn and SciPy; only `live` loads a model with TensorFlow, and only `tfma_*` use TFMA. No
artifacts.
"""
