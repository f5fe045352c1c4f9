"""Turns a Keras model into a .tflite file: conversion, quantization, and the file's contents.

No bundle folders, no measurements.
"""
