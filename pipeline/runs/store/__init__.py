"""What the runs of a project have left: TFX's metadata store, and the files of its artifacts. No TensorFlow, no TFX."""
