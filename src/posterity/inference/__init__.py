"""The road from a dataset to its checked posterior."""
