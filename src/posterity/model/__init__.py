"""A NumPyro model as mathematics: what its trace shows, latents as flat vectors, the log joint."""
