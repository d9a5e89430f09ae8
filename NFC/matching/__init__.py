"""Two sets of features in, distances out."""
