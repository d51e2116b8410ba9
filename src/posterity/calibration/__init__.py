"""Is an estimator calibrated? Datasets are simulated, and posteriors compared with the latents that made them."""
