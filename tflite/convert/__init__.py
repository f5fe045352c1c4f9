"""A Keras model becomes a .tflite file: conversion, quantization, and the file's insides.

No folders of bundles, no measuring.
"""
