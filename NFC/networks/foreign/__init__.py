"""Doors for networks that are not of this project: own functions, files, timm, transformers."""
