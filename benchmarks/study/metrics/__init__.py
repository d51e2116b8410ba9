"""What draws are worth: predictions, divergences, distances to a reference, calibration, weights."""
