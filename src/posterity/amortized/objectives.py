r"""Training objectives: which divergence between posterior $p$ and approximation $q$ is made small.

$\mathrm{KL}(p \| q)$ is the forward KL, learned from joint draws; $\mathrm{KL}(q \| p)$ is the reverse KL, which needs
the log joint. (Some summaries of the paper swap the two names.) Each is written for one dataset, in nats.
"""

import abc
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax, vmap
from jaxtyping import Array, Float, PRNGKeyArray

from posterity.amortized.families import AbstractPosterior
from posterity.model.dataset import Dataset
from posterity.model.model import Model
from posterity.runtime.errors import InputError

__all__ = ["OBJECTIVES", "AbstractObjective", "ForwardKL", "ReverseKL", "SymmetricKL"]

Scalar = Float[Array, ""]


@dataclasses.dataclass(frozen=True)
class AbstractObjective(abc.ABC):
    """What training minimises, averaged over datasets."""

    @property
    @abc.abstractmethod
    def needs_latents(self) -> bool:
        """Whether each dataset must come with the latents that made it."""

    @abc.abstractmethod
    def loss(
        self,
        model: Model,
        q: AbstractPosterior,
        dataset: Dataset,
        z: Float[Array, " latent"] | None,
        *,
        progress: Scalar,
        rng_key: PRNGKeyArray,
    ) -> Scalar:
        """Loss of one dataset, in nats.

        Args:
            model: Gives the log joint.
            q: Posterior of this dataset.
            dataset: The dataset.
            z: Latents that it was simulated from, if it was.
            progress: Share of the training budget that is spent, from 0 to 1.
            rng_key: Consumed here.
        """


@dataclasses.dataclass(frozen=True)
class ForwardKL(AbstractObjective):
    r"""$\mathrm{KL}(p(z \mid D) \| q(z \mid D))$ averaged over datasets of the model, up to a constant.

    $-\log q(z \mid D)$ with $(z, D)$ drawn from the joint: neural posterior estimation (paper, Section 3). Covers all
    the mass of the posterior. Datasets must be simulated from the model itself.
    """

    @property
    def needs_latents(self) -> bool:
        """True: learns from joint draws."""
        return True

    def loss(
        self,
        model: Model,
        q: AbstractPosterior,
        dataset: Dataset,
        z: Float[Array, " latent"] | None,
        *,
        progress: Scalar,
        rng_key: PRNGKeyArray,
    ) -> Scalar:
        """Negative log density of the latents that made the dataset."""
        assert z is not None  # the training loop refuses streams without latents
        return -q.log_prob(z)


@dataclasses.dataclass(frozen=True)
class ReverseKL(AbstractObjective):
    r"""$\mathrm{KL}(q(z \mid D) \| p(z \mid D))$ averaged over datasets of any origin, up to their log evidence.

    $E_{z \sim q}[\log q(z) - \log p(z) - \log p(D \mid z)]$ by pathwise draws (paper, Section 3). Prefers one mode to
    covering all. While it warms up, the first two terms have a weight that grows linearly to 1, so that the
    likelihood shapes q first (paper, App. F).

    Attributes:
        num_samples: Draws of `z` per dataset and step.
        stick_the_landing: Hold the parameters of q fixed inside log q, which removes a term of mean zero from the
            gradient and with it the noise at the optimum (Roeder et al. 2017). It evaluates log q anew, which for
            flows means an inverse.
        kl_warmup: Share of the budget over which the KL term warms up; 0 for none.
    """

    num_samples: int = 4
    stick_the_landing: bool = False
    kl_warmup: float = 0.0

    def __post_init__(self) -> None:
        """Refuses impossible settings."""
        if self.num_samples < 1:
            raise InputError(f"ReverseKL: num_samples must be at least 1; got {self.num_samples}")
        if not 0.0 <= self.kl_warmup < 1.0:
            raise InputError(f"ReverseKL: kl_warmup is a share of the budget in [0, 1); got {self.kl_warmup}")

    @property
    def needs_latents(self) -> bool:
        """False: any stream of datasets will do."""
        return False

    def loss(
        self,
        model: Model,
        q: AbstractPosterior,
        dataset: Dataset,
        z: Float[Array, " latent"] | None,
        *,
        progress: Scalar,
        rng_key: PRNGKeyArray,
    ) -> Scalar:
        """Mean over draws of log q - log joint, the KL term weighted by the warm-up."""
        draws, log_q = q.sample_and_log_prob(rng_key, self.num_samples)
        if self.stick_the_landing:
            log_q = vmap(jax.tree.map(_stop, q).log_prob)(draws)
        log_prior, rows = vmap(model.log_prior_and_likelihood, in_axes=(0, None))(draws, dataset)
        weight = jnp.minimum(1.0, progress / self.kl_warmup) if self.kl_warmup else jnp.ones(())
        return jnp.mean(weight * (log_q - log_prior) - jnp.sum(rows, axis=1))


@dataclasses.dataclass(frozen=True)
class SymmetricKL(AbstractObjective):
    """Weighted mean of forward and reverse KL on the same simulated datasets.

    Attributes:
        reverse: The reverse part.
        reverse_weight: Its weight; the forward part has the rest.
    """

    reverse: ReverseKL = dataclasses.field(default_factory=ReverseKL)
    reverse_weight: float = 0.5

    def __post_init__(self) -> None:
        """Refuses weights outside [0, 1]."""
        if not 0.0 <= self.reverse_weight <= 1.0:
            raise InputError(f"SymmetricKL: reverse_weight must lie in [0, 1]; got {self.reverse_weight}")

    @property
    def needs_latents(self) -> bool:
        """True, for the forward part."""
        return True

    def loss(
        self,
        model: Model,
        q: AbstractPosterior,
        dataset: Dataset,
        z: Float[Array, " latent"] | None,
        *,
        progress: Scalar,
        rng_key: PRNGKeyArray,
    ) -> Scalar:
        """Weighted mean of the two losses."""
        forward = ForwardKL().loss(model, q, dataset, z, progress=progress, rng_key=rng_key)
        reverse = self.reverse.loss(model, q, dataset, z, progress=progress, rng_key=rng_key)
        return (1.0 - self.reverse_weight) * forward + self.reverse_weight * reverse


def _stop(leaf: Any) -> Any:
    return lax.stop_gradient(leaf) if isinstance(leaf, jax.Array) else leaf


OBJECTIVES: dict[str, type[AbstractObjective]] = {
    "forward": ForwardKL,
    "reverse": ReverseKL,
    "symmetric": SymmetricKL,
}
