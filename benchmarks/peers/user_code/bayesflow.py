"""BayesFlow: a set transformer and a coupling flow, trained online on a simulator in NumPy."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import bayesflow as bf
import numpy as np

rng = np.random.default_rng()


def linear(batch_shape):
    """T1."""
    theta, x = rng.normal(size=(*batch_shape, 5)), rng.normal(size=(*batch_shape, 64, 4))
    y = x @ theta[..., :-1, None] + theta[..., None, -1:] + 0.5 * rng.normal(size=(*batch_shape, 64, 1))
    return {"theta": theta, "rows": np.concatenate([x, y], axis=-1)}


def logistic(batch_shape):
    """T2."""
    theta, x = rng.normal(size=(*batch_shape, 6)), rng.normal(size=(*batch_shape, 64, 5))
    eta = x @ theta[..., :-1, None] + theta[..., None, -1:]
    return {"theta": theta, "rows": np.concatenate([x, rng.random(eta.shape) < 1 / (1 + np.exp(-eta))], axis=-1)}


def mixture(batch_shape):
    """T3."""
    theta, second = rng.normal(size=(*batch_shape, 4)), rng.random((*batch_shape, 64, 1)) < 0.5
    means = np.where(second, theta[..., None, 2:], theta[..., None, :2])
    return {"theta": theta, "rows": means + rng.normal(size=means.shape)}


def prepare(task, example, epochs):
    """A workflow, trained for so many epochs of 100 batches."""
    simulator = {"T1": linear, "T2": logistic, "T3": mixture}[task]
    workflow = bf.BasicWorkflow(
        simulator=bf.simulators.LambdaSimulator(simulator, is_batched=True),
        inference_network=bf.networks.CouplingFlow(),
        summary_network=bf.networks.SetTransformer(summary_dim=3 * {"T1": 5, "T2": 6, "T3": 4}[task]),
        inference_variables=["theta"],
        summary_variables=["rows"],
    )
    workflow.fit_online(epochs=epochs)
    return workflow


def rows(data):
    """Covariates and target side by side."""
    return np.concatenate([data["x"], data["y"][..., None]], axis=-1) if "y" in data else data["x"]


def answer(workflow, data, num_draws):
    """Draws of every dataset."""
    return workflow.sample(num_samples=num_draws, conditions={"rows": rows(data)})["theta"]
