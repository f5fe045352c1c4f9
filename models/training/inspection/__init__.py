"""Some steps of a training, looked at: what is not finite in them, and where their time goes. No checkpoints."""
