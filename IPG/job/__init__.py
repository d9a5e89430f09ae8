"""The batch job behind `inference.py`: its settings, what is lacking, run and write it."""
