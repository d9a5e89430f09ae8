"""Training anything: the loop, its settings, random numbers, optimizers, state on disk and log of losses."""
