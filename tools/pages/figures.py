"""Draws the figures of the README and of the first pages.

PYTHONPATH=tools python -m pages.figures
"""

from pages.run import ROOT

__all__ = ["main"]

FIGURES = ROOT / "docs" / "figures"


def main() -> None:
    """Writes them into docs/figures."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "posterity"  # the same file for the same figure
    import posterity

    post = posterity.infer("sales ~ price + promotion + (1 | store)", str(ROOT / "examples" / "stores.csv"))
    assert isinstance(post, posterity.Posterior)
    figure = post.plot_forest(["store"], figure_kwargs={"figsize": (7.0, 6.0)})
    figure.savefig(FIGURES / "stores.svg", metadata={"Date": None}, bbox_inches="tight")
    _schools()


def _schools() -> None:
    """Slopes of schools alone and together, as the tutorial on multilevel data has them in numbers."""
    import matplotlib.pyplot as plt
    import polars as pl

    import posterity

    table = pl.read_csv(ROOT / "examples" / "pupils.csv")
    post = posterity.infer("score ~ hours + (1 + hours || school)", table)
    assert isinstance(post, posterity.Posterior)
    mean, sd = (dict(post.summary().select("latent", name).iter_rows()) for name in ("mean", "sd"))
    figure, axes = plt.subplots(figsize=(7.0, 4.2))
    own = pl.cov("hours", "score") / pl.col("hours").var()
    schools = table.group_by("school").agg(own.alias("slope"), pl.len().alias("pupils")).sort("pupils", "school")
    for place, (school, alone, _) in enumerate(schools.iter_rows()):
        label = f"school[{school}, hours]"
        together = mean["hours"] + mean[label]
        axes.annotate("", (together, place), (alone, place), arrowprops={"arrowstyle": "->", "color": "0.6"})
        axes.plot(alone, place, "o", color="0.35", markersize=4)
        axes.errorbar(together, place, xerr=sd[label], fmt="o", color="#2459a6", markersize=5)
    axes.axvline(mean["hours"], color="0.5", linestyle=":")
    axes.set_yticks(
        range(schools.height), [f"{school} ({pupils})" for school, _, pupils in schools.iter_rows()], fontsize=8
    )
    axes.set_xlabel("points for an hour of practice\nby least squares (grey); posterior mean and sd (blue)")
    axes.set_ylabel("school (pupils)")
    figure.savefig(FIGURES / "schools.svg", metadata={"Date": None}, bbox_inches="tight")


if __name__ == "__main__":
    main()
