"""Anchors inside the few latents that scale the rest, and around several modes."""
