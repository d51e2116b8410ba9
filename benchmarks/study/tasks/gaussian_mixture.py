"""GMM: the means of a mixture of Gaussians with equal weights (App. C).

The paper's text gives its components the covariance I, its code 0.1 I, and its figures fit the code: with I, the
distance to the nearest mean in five dimensions would be ten times what Table 1 reports. So 0.1 I here.
"""

from study.settings import Setting, Task

COMPONENT_SD = 0.1**0.5


def setting(dims: int, num_components: int, *, small: bool = False) -> Setting:
    """Means of `num_components` components in `dims` dimensions."""
    name = f"gmm_{dims}d_{num_components}cl"
    return Setting(
        name,
        model="gaussian_mixture",
        covariates=None,
        options={"num_components": num_components, "component_sd": COMPONENT_SD},
        dims=(dims, dims),
        tasks=(Task(name, f"GMM {dims}D {num_components}cl", dims, small=small),),
        paper_steps=200_000,
        informed="modes",
    )


SETTINGS = (setting(2, 2, small=True), setting(5, 2), setting(2, 5), setting(5, 5))
