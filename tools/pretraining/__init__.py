"""Pretraining of the row network that ships inside the package; needed only to make another one."""
