"""The runtime type checker of the tests; `conftest.py` puts it on every function of posterity."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int will do for a float, as everywhere in Python
