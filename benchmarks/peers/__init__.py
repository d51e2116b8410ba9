"""Posterity beside NumPyro's NUTS, plain Laplace, BayesFlow and sbi on three small tasks, in one run."""
