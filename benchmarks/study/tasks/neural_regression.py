"""NLR: a Bayesian neural network with 32 hidden units gives the mean; noise variance 0.25 (App. C).

The main tables have one hidden layer of ReLU; the appendix adds tanh and two layers.
"""

from study.settings import Setting, Task


def setting(
    name: str,
    dims: tuple[int, int],
    tasks: tuple[Task, ...],
    *,
    activation: str = "relu",
    num_layers: int = 1,
    paper_steps: int = 100_000,
) -> Setting:
    """Regression by a network with one or two hidden layers."""
    return Setting(
        name,
        model="neural_regression",
        options={"activation": activation, "num_layers": num_layers},
        dims=dims,
        tasks=tasks,
        paper_steps=paper_steps,
    )


def appendix() -> tuple[Setting, ...]:
    """The architectures of Tables 9 and 10."""
    found = []
    for activation, num_layers in (("relu", 2), ("tanh", 1), ("tanh", 2)):
        for dims in (1, 25):
            name = f"nlr_{dims}d_{activation}_{num_layers}l"
            column = f"NLR {'ReLU' if activation == 'relu' else 'tanh'}-{num_layers}L {dims}D"
            task = Task(name, column, dims)
            found.append(setting(name, (dims, dims), (task,), activation=activation, num_layers=num_layers))
    return tuple(found)


SETTINGS = (
    setting("nlr_1d", (1, 1), (Task("nlr_1d", "NLR 1D", 1, small=True),)),
    setting("nlr_25d", (25, 25), (Task("nlr_25d", "NLR 25D", 25),)),
    setting(
        "nlr_variable",
        (1, 100),
        (Task("nlr_variable_1d", "NLR 1D", 1), Task("nlr_variable_50d", "NLR 50D", 50)),
        paper_steps=250_000,
    ),
    *appendix(),
)
