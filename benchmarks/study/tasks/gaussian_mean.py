"""GM: the mean of a Gaussian with known covariance (App. C). The posterior is a Gaussian in closed form."""

from study.settings import Setting, Task

MODEL = {"model": "gaussian_mean", "covariates": None, "informed": "modes", "exact": True}

SETTINGS = (
    Setting("gm_2d", dims=(2, 2), tasks=(Task("gm_2d", "GM 2D", 2, small=True),), paper_steps=20_000, **MODEL),
    Setting("gm_100d", dims=(100, 100), tasks=(Task("gm_100d", "GM 100D", 100),), paper_steps=20_000, **MODEL),
    Setting(
        "gm_variable",
        dims=(1, 100),
        tasks=(Task("gm_variable_2d", "GM 2D", 2), Task("gm_variable_100d", "GM 100D", 100)),
        paper_steps=50_000,
        **MODEL,
    ),
)
