"""What benchmarks/training.py compares with: Hugging Face's Trainer and Keras's `fit`, each in its own environment."""
