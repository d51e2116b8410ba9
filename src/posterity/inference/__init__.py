"""From draws to a posterior: weights, verdict, predictions, evidence, ArviZ."""
