"""What is fitted before the first step of training: the linear part, the head, or the encoder on pairs of rows.

Changes the model in place. The steps themselves are the loop's.
"""
