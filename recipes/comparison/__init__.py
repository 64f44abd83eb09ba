"""Optimizers compared: who, for how much, and what of a difference is noise. Nothing here imports Keras."""
