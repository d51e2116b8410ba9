"""The Gaussian closest to a posterior, by iteration on the log joint itself."""
