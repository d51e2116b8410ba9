"""Conditional normalizing flow: noise -> masked coupling layers -> a Gaussian's affine map -> z."""

from jax import random
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.amortized.families.base import AbstractFamily, AbstractTransport
from posterity.amortized.families.coupling import CouplingStack
from posterity.amortized.families.diagonal import DiagonalFamily
from posterity.amortized.families.full import FullFamily
from posterity.amortized.families.heads import check_sizes
from posterity.amortized.families.scalar import ElementwiseMap
from posterity.runtime.errors import lookup

__all__ = ["Flow", "FlowFamily"]

_LINEAR: dict[str, type[DiagonalFamily] | type[FullFamily]] = {"diagonal": DiagonalFamily, "full": FullFamily}


class Flow(AbstractTransport):
    r"""$z = \mu + L\, t$, where coupling layers turn noise $e$ into $t$.

    It holds the weights of its layers, which all datasets share: use it inside the `vmap` over datasets that
    made it, because returning it from there would copy those weights once per dataset.
    """

    coupling: CouplingStack
    gaussian: AbstractTransport
    context: Float[Array, " context"]
    mask: Bool[Array, " latent"]

    def transform_and_log_det(self, noise: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """Through the coupling layers, then the affine map."""
        inner, log_det_coupling = self.coupling(noise, self.context, self.mask, inverse=False)
        z, log_det_affine = self.gaussian.transform_and_log_det(inner)
        return z, log_det_coupling + log_det_affine

    def inverse_and_log_det(self, z: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """Back through the affine map, then the coupling layers."""
        inner, log_det_affine = self.gaussian.inverse_and_log_det(z)
        noise, log_det_coupling = self.coupling(inner, self.context, self.mask, inverse=True)
        return noise, log_det_affine + log_det_coupling


class FlowFamily(AbstractFamily):
    """Coupling flow around a Gaussian, conditioned on the embedding throughout.

    The last map is the affine one of a Gaussian family and the layers start as the identity, so the flow
    contains that Gaussian; the layers add what it lacks. With `transform="affine"` and `linear="diagonal"` it
    is close to the paper's flow.
    """

    coupling: CouplingStack
    linear: DiagonalFamily | FullFamily

    def __init__(
        self,
        latent_size: int,
        context_size: int,
        *,
        transform: str = "spline",
        linear: str = "full",
        num_layers: int = 4,
        width: int = 64,
        knots: int = 8,
        interval: float = 5.0,
        key: PRNGKeyArray,
    ):
        """Flow over `latent_size` latents that reads embeddings of `context_size` numbers.

        Args:
            latent_size: Latents, active or not.
            context_size: Width of the embedding.
            transform: "affine" or "spline" maps in the layers; splines can give one latent several modes.
            linear: "full" or "diagonal" affine map after the layers. The full one has
                `latent_size ** 2 / 2` entries to learn, so prefer the other beyond some hundreds of latents.
            num_layers: Coupling layers; see `layer_orders` for how many let all latents meet.
            width: Hidden units of each layer's conditioner.
            knots: Inner knots of the splines.
            interval: Splines act within [-interval, interval] standard deviations.
            key: Initialises the hidden layers.
        """
        check_sizes(latent_size=latent_size, context_size=context_size, num_layers=num_layers, width=width)
        elementwise = ElementwiseMap(transform, knots, interval)
        linear_key, coupling_key = random.split(key)
        self.linear = lookup("linear map", linear, _LINEAR)(latent_size, context_size, key=linear_key)
        self.coupling = CouplingStack(
            num_layers, latent_size, context_size, width=width, elementwise=elementwise, key=coupling_key
        )

    def __call__(self, context: Float[Array, " context"], mask: Bool[Array, " latent"]) -> Flow:
        """Flow of one dataset."""
        return Flow(coupling=self.coupling, gaussian=self.linear(context, mask), context=context, mask=mask)
