"""Features in, better features out."""
