"""Gauss-Hermite nodes: averages over a standard normal number, exact for polynomials of degree 17."""

import numpy as np

__all__ = ["HERMITE", "NODES", "NODE_WEIGHTS"]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
NODES, NODE_WEIGHTS = _NODES.astype(np.float32), (_WEIGHTS / _WEIGHTS.sum()).astype(np.float32)
HERMITE = np.polynomial.hermite_e.hermevander(NODES, 4).T.astype(np.float32)  # He_0 to He_4 at the nodes
