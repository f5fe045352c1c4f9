"""What benchmarks/edge.py compares with: ONNX Runtime and OpenVINO, in an environment of their own."""
