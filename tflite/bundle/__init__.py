"""The folder that is copied to a device: its files, its README, and MediaPipe's metadata.

No conversion, no measurements.
"""
