"""Ranks, scores and identity density, by the protocol of a data set."""
