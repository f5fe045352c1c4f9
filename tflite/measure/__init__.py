"""Measures a bundle: parity with Keras, cost on this machine. Chooses among the variants. Changes no bundle."""
