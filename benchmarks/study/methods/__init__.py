"""What gives draws for a test set: networks, the informed posterior, optima, best members of a family, samplers."""
