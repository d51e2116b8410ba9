"""Draws the figures of the README and of the first pages.

PYTHONPATH=tools python -m pages.figures
"""

from pages.run import ROOT

__all__ = ["main"]


def main() -> None:
    """Writes them into docs/figures."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "posterity"  # the same file for the same figure
    import posterity

    post = posterity.infer("sales ~ price + promotion + (1 | store)", str(ROOT / "examples" / "stores.csv"))
    assert isinstance(post, posterity.Posterior)
    figure = post.plot_forest(["store"], figure_kwargs={"figsize": (7.0, 6.0)})
    figure.savefig(ROOT / "docs" / "figures" / "stores.svg", metadata={"Date": None}, bbox_inches="tight")


if __name__ == "__main__":
    main()
