"""LR: linear regression with known noise variance 0.25 (App. C). The posterior is a Gaussian in closed form."""

from study.settings import Setting, Task

MODEL = {"model": "linear_regression_known_noise", "informed": "direct", "exact": True}

SETTINGS = (
    Setting("lr_1d", dims=(1, 1), tasks=(Task("lr_1d", "LR 1D", 1, small=True),), paper_steps=50_000, **MODEL),
    Setting("lr_2d", dims=(2, 2), tasks=(Task("lr_2d", "LR 2D", 2, small=True),), paper_steps=50_000, **MODEL),
    Setting("lr_100d", dims=(100, 100), tasks=(Task("lr_100d", "LR 100D", 100),), paper_steps=50_000, **MODEL),
    Setting(
        "lr_variable",
        dims=(1, 100),
        tasks=(Task("lr_variable_2d", "LR 2D", 2), Task("lr_variable_100d", "LR 100D", 100)),
        paper_steps=100_000,
        **MODEL,
    ),
)
