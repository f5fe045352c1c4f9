"""What a trained model is compared with: the trivial answer, and a linear model on counts of words and characters.

Fitting, predicting, storing; NumPy, SciPy and scikit-learn. No TensorFlow, TFX or Beam, and no verdict: that is
`components.evaluation`'s.
"""
