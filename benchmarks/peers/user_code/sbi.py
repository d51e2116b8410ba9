"""NPE of sbi: a permutation-invariant embedding and a flow, trained on 100,000 simulations."""

import torch
from sbi.inference import NPE
from sbi.neural_nets import posterior_nn
from sbi.neural_nets.embedding_nets import FCEmbedding, PermutationInvariantEmbedding
from torch.distributions import MultivariateNormal


def linear(theta):
    """T1."""
    x = torch.randn(len(theta), 64, 4)
    y = x @ theta[:, :-1, None] + theta[:, None, -1:] + 0.5 * torch.randn(len(theta), 64, 1)
    return torch.cat([x, y], dim=-1)


def logistic(theta):
    """T2."""
    x = torch.randn(len(theta), 64, 5)
    eta = x @ theta[:, :-1, None] + theta[:, None, -1:]
    return torch.cat([x, torch.bernoulli(torch.sigmoid(eta))], dim=-1)


def mixture(theta):
    """T3."""
    second = torch.rand(len(theta), 64, 1) < 0.5
    return torch.where(second, theta[:, None, 2:], theta[:, None, :2]) + torch.randn(len(theta), 64, 2)


def prepare(task, example, epochs):
    """A posterior, trained for at most so many epochs."""
    simulator = {"T1": linear, "T2": logistic, "T3": mixture}[task]
    size = {"T1": 5, "T2": 6, "T3": 4}[task]
    prior = MultivariateNormal(torch.zeros(size), torch.eye(size))
    theta = prior.sample((100_000,))
    x = simulator(theta)
    embedding = PermutationInvariantEmbedding(FCEmbedding(x.shape[-1]), trial_net_output_dim=20)
    trainer = NPE(prior, posterior_nn("nsf" if task == "T3" else "maf", embedding_net=embedding))
    trainer.append_simulations(theta, x).train(max_num_epochs=epochs)
    return trainer.build_posterior()


def rows(data):
    """Covariates and target side by side."""
    columns = [torch.as_tensor(data["x"])]
    if "y" in data:
        columns.append(torch.as_tensor(data["y"])[..., None].float())
    return torch.cat(columns, dim=-1)


def answer(posterior, data, num_draws):
    """Draws of every dataset."""
    draws = posterior.sample_batched((num_draws,), x=rows(data), show_progress_bars=False)
    return draws.swapaxes(0, 1).numpy()
