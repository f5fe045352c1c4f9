"""TFX components: thin adapters from artifacts to `models`, `serving` and `tflite`."""
