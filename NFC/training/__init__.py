"""What training a ReID network needs: pictures, batches, augmentation, losses, starting weights, validation."""
