"""The playground: a page on this machine where points are dragged and their posterior moves along."""

from posterity.play.server import HOST, listen, make_app, serve

__all__ = ["HOST", "listen", "make_app", "serve"]
