"""Cases of ONNX Runtime's own operators, by family: what its graph optimiser and its exporters write."""
