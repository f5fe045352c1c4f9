"""Training in a child process, on another framework than TensorFlow."""
