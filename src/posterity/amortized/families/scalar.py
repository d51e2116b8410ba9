"""Monotone maps of the real line, by FlowJAX, whose parameters a network puts out for every latent."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import paramax
from flowjax.bijections import AbstractBijection, Affine, RationalQuadraticSpline
from flowjax.utils import get_ravelled_pytree_constructor
from jax import vmap
from jaxtyping import Array, Float

from posterity.runtime.errors import InputError, lookup

__all__ = ["TRANSFORMS", "ElementwiseMap"]

# Any network output must give a map whose inverse is sound in float32. FlowJAX inverts a spline through the
# root of a difference, which rounds below 0 (so NaN) where a bin is some 1000 times steeper than one of its
# ends: within reach of FlowJAX's default bounds, out of reach of these. Layers compose, so little is lost.
_PARAM_BOUND = 4.0
_MAX_SLOPE = 80.0  # of a spline's bins
_MIN_DERIVATIVE = 0.05  # of a spline at its knots


@dataclass(frozen=True)
class ElementwiseMap:
    """A kind of scalar bijection, applied to each coordinate with parameters of its own.

    Parameters of 0 give the identity, and any real parameters are allowed.

    Attributes:
        transform: Name in `TRANSFORMS`.
        knots: Inner knots of the spline.
        interval: The spline acts on [-interval, interval] and is the identity outside.
    """

    transform: str = "spline"
    knots: int = 8
    interval: float = 5.0

    def __post_init__(self):
        lookup("flow transform", self.transform, TRANSFORMS)
        if self.knots < 1 or not self.interval > 0.0:
            raise InputError(
                f"flow: `knots` must be at least 1 and `interval` positive; got {self.knots} and {self.interval}."
            )

    @property
    def num_params(self) -> int:
        """Parameters per coordinate."""
        return _constructor(self)[1]

    def transform_and_log_det(
        self, params: Float[Array, "coordinate param"], x: Float[Array, " coordinate"]
    ) -> tuple[Float[Array, " coordinate"], Float[Array, " coordinate"]]:
        """Image and log derivative of each coordinate."""
        return vmap(lambda raw, value: self._bijection(raw).transform_and_log_det(value))(params, x)

    def inverse_and_log_det(
        self, params: Float[Array, "coordinate param"], y: Float[Array, " coordinate"]
    ) -> tuple[Float[Array, " coordinate"], Float[Array, " coordinate"]]:
        """Preimage and log derivative of the inverse, of each coordinate."""
        return vmap(lambda raw, value: self._bijection(raw).inverse_and_log_det(value))(params, y)

    def _bijection(self, raw: Float[Array, " param"]) -> AbstractBijection:
        clipped = raw / (1.0 + jnp.abs(raw) / _PARAM_BOUND)  # the identity near 0: a cheap tanh
        return paramax.unwrap(_constructor(self)[0](clipped))


def _affine(kind: ElementwiseMap) -> AbstractBijection:
    scale = paramax.Parameterize(lambda raw: jnp.exp(0.5 * raw), jnp.zeros(()))  # within e^-2 and e^2
    return eqx.tree_at(lambda affine: affine.scale, Affine(), scale)


def _spline(kind: ElementwiseMap) -> AbstractBijection:
    # One bin among `knots` others of this width can be _MAX_SLOPE times as wide.
    min_width = 2.0 * kind.interval / (_MAX_SLOPE + kind.knots)
    return RationalQuadraticSpline(
        knots=kind.knots, interval=kind.interval, min_derivative=_MIN_DERIVATIVE, min_width=min_width
    )


TRANSFORMS: dict[str, Callable[[ElementwiseMap], AbstractBijection]] = {
    "affine": _affine,
    "spline": _spline,
}


@functools.cache
def _constructor(kind: ElementwiseMap) -> tuple[Callable[[Float[Array, " param"]], AbstractBijection], int]:
    """FlowJAX's map from a flat vector to a bijection, and the length of that vector."""
    # Constants, even when first asked for inside a trace; FlowJAX's own checks trip there unless jit is off.
    with jax.ensure_compile_time_eval(), jax.disable_jit():
        template = TRANSFORMS[kind.transform](kind)
        return get_ravelled_pytree_constructor(template, filter_spec=eqx.is_inexact_array)
