"""What training needs besides a model: sizes, covariates, simulated datasets. An informed answer never sees it."""
