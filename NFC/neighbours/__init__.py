"""Exact nearest neighbours in tiles, and the optional approximate index."""

from .approximate import approximate_neighbours
from .distances import pair_distances
from .search import nearest_in_gallery, nearest_neighbours

__all__ = ["approximate_neighbours", "nearest_in_gallery", "nearest_neighbours", "pair_distances"]
