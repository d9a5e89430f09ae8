"""Features: the value, extraction from pictures, our files and other people's, those of a data set, their kinds."""
