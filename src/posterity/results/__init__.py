"""What is known of one posterior, as numbers, frames, predictions and ArviZ trees."""
