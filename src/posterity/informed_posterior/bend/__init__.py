"""Bending the anchor's Gaussian along every row."""
