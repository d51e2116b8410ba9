"""NLC: a Bayesian neural network with 32 hidden units gives class logits over a temperature of 0.1 (App. C)."""

from study.settings import Setting, Task
from study.tasks.linear_classification import TEMPERATURE


def setting(
    name: str,
    dims: tuple[int, int],
    tasks: tuple[Task, ...],
    *,
    activation: str = "relu",
    num_layers: int = 1,
    num_classes: int = 2,
    paper_steps: int = 100_000,
) -> Setting:
    """Classification by a network with one or two hidden layers."""
    return Setting(
        name,
        model="neural_classification",
        options={
            "num_classes": num_classes,
            "temperature": TEMPERATURE,
            "activation": activation,
            "num_layers": num_layers,
        },
        dims=dims,
        tasks=tasks,
        paper_steps=paper_steps,
        score="accuracy",
    )


def appendix() -> tuple[Setting, ...]:
    """The architectures of Tables 12 to 14, named as there: activation, classes, layers."""
    found = []
    for activation, num_classes, num_layers in (
        ("relu", 2, 2), ("relu", 5, 1), ("relu", 5, 2), ("tanh", 2, 1), ("tanh", 2, 2), ("tanh", 5, 1), ("tanh", 5, 2),
    ):  # fmt: skip
        for dims in (2, 25):
            name = f"nlc_{dims}d_{activation}_{num_classes}cl_{num_layers}l"
            column = f"NLC {activation[0].upper()}{num_classes}c {num_layers}L {dims}D"
            found.append(
                setting(
                    name,
                    (dims, dims),
                    (Task(name, column, dims),),
                    activation=activation,
                    num_classes=num_classes,
                    num_layers=num_layers,
                )
            )
    return tuple(found)


SETTINGS = (
    setting("nlc_2d", (2, 2), (Task("nlc_2d", "NLC 2D", 2, small=True),)),
    setting("nlc_25d", (25, 25), (Task("nlc_25d", "NLC 25D", 25),)),
    setting(
        "nlc_variable",
        (1, 100),
        (Task("nlc_variable_2d", "NLC 2D", 2), Task("nlc_variable_50d", "NLC 50D", 50)),
        paper_steps=250_000,
    ),
    *appendix(),
)
