"""Informed: conditioning on a dataset through the model's own log joint. Read, anchor, bend, nest; nothing trained."""
