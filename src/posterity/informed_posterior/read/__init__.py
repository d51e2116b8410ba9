"""Reading a model: which latents scale others, and what every row depends on."""
