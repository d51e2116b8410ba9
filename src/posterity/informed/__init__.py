"""The informed posterior: condition on a dataset through the model's own log joint.

`structure` reads rows and scale latents off the model, `terms` is what it finds, `anchor` the Gaussian closest to the
posterior, `network` how every row bends it, `row_map` the bent posterior, `scale` the road for one scale latent, and
`informed` all of them as one network. `store` reads what ships, which `tools/pretraining` of the repository makes.
"""
