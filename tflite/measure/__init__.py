"""What a bundle is worth: parity with Keras, cost on this machine, and the choice among variants.

Nothing here changes a bundle.
"""
