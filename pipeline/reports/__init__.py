"""What runs found, for people: a run's page, its wrong rows. No TensorFlow."""
