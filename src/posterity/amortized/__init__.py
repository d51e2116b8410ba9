"""In context: a network from the rows of a dataset to its posterior."""
