"""LC: softmax regression with a temperature of 0.1 (App. C).

The paper's code draws labels with logits / 0.1 but leaves the temperature out of the likelihood that reverse KL and its
samplers see. Here it is in both; jobs whose stream is `paper_temperature` train under the paper's mismatch.
"""

from study.settings import Setting, Task

TEMPERATURE = 0.1


def setting(
    name: str, dims: tuple[int, int], tasks: tuple[Task, ...], num_classes: int = 2, paper_steps: int = 50_000
) -> Setting:
    """Linear classification of `num_classes` classes."""
    return Setting(
        name,
        model="categorical_regression",
        options={"num_classes": num_classes, "temperature": TEMPERATURE},
        dims=dims,
        tasks=tasks,
        paper_steps=paper_steps,
        score="accuracy",
        informed="difference" if num_classes == 2 else None,
    )


SETTINGS = (
    setting("lc_2d", (2, 2), (Task("lc_2d", "LC 2D 2cl", 2, small=True),)),
    setting("lc_100d", (100, 100), (Task("lc_100d", "LC 100D", 100),)),
    setting("lc_2d_5cl", (2, 2), (Task("lc_2d_5cl", "LC 2D 5cl", 2),), num_classes=5),
    setting("lc_100d_5cl", (100, 100), (Task("lc_100d_5cl", "LC 100D 5cl", 100),), num_classes=5),
    setting(
        "lc_variable",
        (1, 100),
        (Task("lc_variable_2d", "LC 2D 2cl", 2), Task("lc_variable_100d", "LC 100D", 100)),
        paper_steps=100_000,
    ),
)
