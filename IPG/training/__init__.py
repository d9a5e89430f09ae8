"""Training: data.py gives batches, objective.py the losses, loop.py runs the steps."""
