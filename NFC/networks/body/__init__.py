"""What pose-guided networks compute from the points of a body: pictures of parts, regions, maps and masks.

Points are (..., 18, 3) floating: x, y in pixels (the centre of the first is 0) and confidence, 0 for a missing one, in
the order of `points.NAMES`. Where points are missing, what is computed is defined and finite; each function says how.
"""
