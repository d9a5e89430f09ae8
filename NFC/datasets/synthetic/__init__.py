"""A seeded synthetic pedestrian world with exact ground truth.

identity.py draws who somebody is, pose.py how they stand, body.py turns both into solids,
render.py rasterises the solids, camera.py and occluders.py make it a camera picture,
world.py ties these together, layouts/ writes whole data sets to disk and groups.py training material.
"""

from .world import Shot, View, World

__all__ = ["Shot", "View", "World"]
