"""One small pure function per ONNX operator and since-version, in files by family; every module here is scanned.

Functions may use torch only as far as it has forward-mode and twice differentiable reverse-mode derivatives and
batching rules; what lacks one of them (hard sigmoid, adaptive pooling, fused attention) is written from primitives.
"""
