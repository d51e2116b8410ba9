"""What answers datasets: informed estimators, trained ones, and those on disk."""
