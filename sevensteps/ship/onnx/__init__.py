"""ONNX: a model's list of layers as a graph that other runtimes compute."""
