"""What every encoder is: one method from the rows of a dataset to a vector."""

import abc

import equinox as eqx
from jaxtyping import Array, Bool, Float

from posterity.runtime.errors import InputError

__all__ = ["AbstractEncoder", "check_sizes"]


class AbstractEncoder(eqx.Module):
    r"""Summary $s(D)$ of one dataset $D = \{x_1, \dots, x_n\}$, learned together with $q(z \mid s(D))$.

    An encoder is built as `Encoder(feature_size, **options, key=key)`, where the options are plain integers
    and booleans, so that name, feature size and options are all that a file needs to rebuild it.

    Laws, tested for all of them: rows whose mask is False do not exist (their values never matter, not even
    NaN); a dataset without rows has a finite embedding and finite gradients. Set encoders do not see the
    order of rows. Averages forget how many rows there were: who needs `n` appends it to the embedding.

    Each acts on the last axes, so that training gives it a batch as it is: products over the rows of all datasets are
    one product then, and so are their gradients (`AmortizedPosterior.embed` says what that saves). `vmap` does too.
    """

    embedding_size: eqx.AbstractVar[int]

    @abc.abstractmethod
    def __call__(
        self, rows: Float[Array, "*batch obs feature"], mask: Bool[Array, "*batch obs"]
    ) -> Float[Array, "*batch embedding"]:
        """Embedding of one dataset, or of each of a batch.

        Args:
            rows: One observation per row, covariates and responses side by side, about mean 0 and sd 1.
            mask: True where the row is a real observation.

        Returns:
            Vector of `embedding_size` numbers per dataset, unbounded.
        """


def check_sizes(encoder: str, **sizes: int) -> None:
    """Refuse an encoder that has a part of no size.

    Args:
        encoder: Name in the table of encoders, for the message.
        **sizes: Widths and counts by option name, each at least 1.

    Raises:
        InputError: Names the first option that is too small.
    """
    for option, size in sizes.items():
        if size < 1:
            raise InputError(f"encoder '{encoder}': `{option}` must be at least 1, got {size}.")
