"""The estimator of the tiny model, made once."""

import pytest
from inference.cases import MODEL

import posterity


@pytest.fixture(scope="session")
def estimator():
    return posterity.informed(MODEL, columns=2, check=False)
