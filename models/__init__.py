"""Pure TensorFlow, Keras 3 and KerasHub: tasks, preprocessing, Transformers, training, SavedModel export."""
