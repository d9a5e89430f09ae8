"""What both halves stand on: errors, files, configs, devices, pictures, weights, presets, and the training loop."""
