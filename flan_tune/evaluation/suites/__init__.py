"""Evaluation suites: what they are, how they are asked of a model, and what its answers score."""
