"""The amortized posterior as one network: row features, encoder, trunk, posterior family."""

from posterity.network.amortized import AmortizedPosterior, build_network, network_skeleton, num_params
from posterity.network.architecture import Architecture

__all__ = ["AmortizedPosterior", "Architecture", "build_network", "network_skeleton", "num_params"]
