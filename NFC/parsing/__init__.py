"""Label maps of people: a small network that makes them, its training on the synthetic world, and the maps on disk."""
