"""What a pretrained model learns before the first step of training: a head that fits its encoder, contrastive tuning.

Changes the model in place. The steps themselves are the loop's.
"""
