"""GMM: the means of a mixture of Gaussians with equal weights (App. C).

The paper's text gives its components the covariance I, its code 0.1 I, and its figures fit the code: with I, the
distance to the nearest mean in five dimensions would be ten times what Table 1 reports. So 0.1 I here.
"""

from study.settings import Setting, Task

COMPONENT_SD = 0.1**0.5


def setting(name: str, num_components: int, dims: tuple[int, int], tasks: tuple[Task, ...], steps: int) -> Setting:
    """Means of `num_components` components."""
    return Setting(
        name,
        model="gaussian_mixture",
        covariates=None,
        options={"num_components": num_components, "component_sd": COMPONENT_SD},
        dims=dims,
        tasks=tasks,
        paper_steps=steps,
        informed="modes",
    )


def fixed(dims: int, num_components: int, *, small: bool = False) -> Setting:
    """A network for one number of dimensions."""
    size = f"{dims}d_{num_components}cl"
    task = Task(f"gmm_{size}", f"GMM {dims}D {num_components}cl", dims, small=small)
    return setting(task.name, num_components, (dims, dims), (task,), 200_000)


def variable(num_components: int) -> Setting:
    """A network for up to five dimensions."""
    name = f"gmm_variable_{num_components}cl"
    tasks = tuple(Task(f"{name}_{dims}d", f"GMM {dims}D {num_components}cl", dims) for dims in (2, 5))
    return setting(name, num_components, (1, 5), tasks, 500_000)


SETTINGS = (fixed(2, 2, small=True), fixed(5, 2), fixed(2, 5), fixed(5, 5), variable(2), variable(5))
