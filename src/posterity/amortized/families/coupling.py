"""Masked coupling layers, the conditional flow's nonlinear part."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jax.nn import relu
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from posterity.amortized.families.heads import zero_linear
from posterity.amortized.families.scalar import ElementwiseMap

__all__ = ["CouplingLayer", "CouplingStack", "layer_orders"]

_INPUT_BOUND = 10.0  # latents seen by a conditioner; the flow's inner coordinates are roughly standard normal


class Conditioner(eqx.Module):
    """Two hidden ReLU layers from (latents, context) to the parameters of other latents; 0 at first."""

    from_latents: eqx.nn.Linear
    from_context: eqx.nn.Linear
    hidden: eqx.nn.Linear
    head: eqx.nn.Linear

    def __init__(self, num_inputs: int, context_size: int, out_size: int, *, width: int, key: PRNGKeyArray):
        """Network that reads `num_inputs` latents and puts out `out_size` numbers."""
        keys = random.split(key, 3)
        self.from_latents = eqx.nn.Linear(num_inputs, width, use_bias=False, key=keys[0])
        self.from_context = eqx.nn.Linear(context_size, width, key=keys[1])
        self.hidden = eqx.nn.Linear(width, width, key=keys[2])
        self.head = zero_linear(width, out_size)

    def __call__(self, latents: Float[Array, " kept"], context: Float[Array, " context"]) -> Float[Array, " out"]:
        """Parameters; the context's share of the first layer is one product for all draws of a dataset."""
        latents = jnp.clip(latents, -_INPUT_BOUND, _INPUT_BOUND)
        first = relu(self.from_latents(latents) + self.from_context(context))
        return self.head(relu(self.hidden(first)))


class CouplingLayer(eqx.Module):
    r"""Bijection of the active latents: $y_A = f(x_A; h)$ and $y_B = g(x_B; x_A, h)$, one by one.

    $A$ is the first half of the coordinates (kept), $B$ the second (moved), and $h$ the context. Unlike in
    the usual coupling $A$ is transformed too, by maps that see the context alone: a latent without company
    then still gets a map in every layer.

    Why not `flowjax.bijections.Coupling`: it adds up the log-dets of all its coordinates before anyone can
    leave some out, and conditions on fixed places, whether or not the dataset has those latents, so that the
    latents which a dataset lacks could not be removed. Here they enter as 0, leave as 0 and add no log-det.
    """

    context_head: eqx.nn.Linear
    conditioner: Conditioner | None
    elementwise: ElementwiseMap = eqx.field(static=True)

    def __init__(
        self,
        latent_size: int,
        context_size: int,
        *,
        width: int,
        elementwise: ElementwiseMap,
        key: PRNGKeyArray,
    ):
        """Layer that starts as the identity.

        Args:
            latent_size: Coordinates; of an odd number the kept half is the larger one.
            context_size: Width of the embedding.
            width: Hidden units of the conditioner.
            elementwise: Kind of the scalar maps.
            key: Initialises the hidden layers.
        """
        num_moved = latent_size // 2
        num_kept = latent_size - num_moved
        num_params = elementwise.num_params
        self.elementwise = elementwise
        self.context_head = zero_linear(context_size, num_kept * num_params)
        self.conditioner = None
        if num_moved:
            self.conditioner = Conditioner(num_kept, context_size, num_moved * num_params, width=width, key=key)

    def __call__(
        self,
        given: Float[Array, " latent"],
        context: Float[Array, " context"],
        mask: Bool[Array, " latent"],
        *,
        inverse: bool,
    ) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """Image or preimage of `given` (0 where inactive) and that map's log-det over active coordinates."""
        maps = self.elementwise
        apply = maps.inverse_and_log_det if inverse else maps.transform_and_log_det
        num_kept = mask.shape[0] - mask.shape[0] // 2

        params = self.context_head(context).reshape(num_kept, -1)
        found, log_dets = apply(params, given[:num_kept])
        found = jnp.where(mask[:num_kept], found, 0.0)
        if self.conditioner is not None:
            x_kept = found if inverse else given[:num_kept]
            params = self.conditioner(x_kept, context).reshape(mask.shape[0] - num_kept, -1)
            found_moved, log_dets_moved = apply(params, given[num_kept:])
            found = jnp.concatenate([found, jnp.where(mask[num_kept:], found_moved, 0.0)])
            log_dets = jnp.concatenate([log_dets, log_dets_moved])
        return found, jnp.sum(jnp.where(mask, log_dets, 0.0))


class CouplingStack(eqx.Module):
    """Coupling layers one after the other, each splitting the latents in its own way.

    Their weights are stacked along a leading axis and scanned: XLA compiles one layer, whatever their number.
    """

    layers: CouplingLayer
    num_layers: int = eqx.field(static=True)

    def __init__(
        self,
        num_layers: int,
        latent_size: int,
        context_size: int,
        *,
        width: int,
        elementwise: ElementwiseMap,
        key: PRNGKeyArray,
    ):
        """Stack of `num_layers` layers; the other arguments are those of `CouplingLayer`."""

        def layer(layer_key):
            return CouplingLayer(latent_size, context_size, width=width, elementwise=elementwise, key=layer_key)

        self.num_layers = num_layers
        self.layers = eqx.filter_vmap(layer)(random.split(key, num_layers))

    def __call__(
        self,
        given: Float[Array, " latent"],
        context: Float[Array, " context"],
        mask: Bool[Array, " latent"],
        *,
        inverse: bool,
    ) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """Image or preimage of `given` (0 where inactive) and that map's log-det over active latents."""
        orders = layer_orders(mask.shape[0], self.num_layers)

        def step(value, layer_and_order):
            layer, order, back = layer_and_order
            value, log_det = layer(value[order], context, mask[order], inverse=inverse)
            return value[back], log_det

        steps = (self.layers, jnp.asarray(orders), jnp.asarray(np.argsort(orders, axis=1)))
        found, log_dets = lax.scan(step, given, steps, reverse=inverse)
        return found, jnp.sum(log_dets)


def layer_orders(latent_size: int, num_layers: int) -> Int[np.ndarray, "layer latent"]:
    """Order of the latents in each layer, whose first half is kept.

    Layers go in pairs: an order, then the same reversed. Before each pair the latents are dealt into two
    piles, so that the halves are first evens and odds, then pairs, fours, and so on: `2 * ceil(log2(P))`
    layers move each of `P` latents in sight of each other one (for odd `P` above 11 with few exceptions).
    """
    order = np.arange(latent_size)
    orders = []
    for layer in range(num_layers):
        if layer % 2 == 0:
            order = np.concatenate([order[0::2], order[1::2]])
        orders.append(order if layer % 2 == 0 else order[::-1])
    return np.stack(orders)
