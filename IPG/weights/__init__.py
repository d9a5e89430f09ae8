"""Files of weights: which ones a generator has, official and own ones, and the folder of a VAE."""
