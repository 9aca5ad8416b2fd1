"""Predictions that any system has left in files: read, matched to their questions, scored."""
