"""Models whose numbers of groups are plain numbers among the arguments."""

import numpy as np
import numpyro
import numpyro.distributions as dist

NUM_ROWS = 40


def known_spread(school, num_schools, y=None):
    """Group means around 0: the posterior of each is known in closed form."""
    with numpyro.plate("schools", num_schools):
        u = numpyro.sample("u", dist.Normal(0.0, 1.0))
    with numpyro.plate("observations", school.shape[0]):
        numpyro.sample("y", dist.Normal(u[school], 1.0), obs=y)


def random_intercepts(x, school, num_schools, y=None):
    mu, tau = numpyro.sample("mu", dist.Normal(0.0, 2.0)), numpyro.sample("tau", dist.HalfNormal(1.0))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    with numpyro.plate("schools", num_schools):
        u = numpyro.sample("u", dist.Normal(mu, tau))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(u[school] + b * x, 1.0), obs=y)


def two_effects(x, school, num_schools, y=None):
    """An effect and a positive weight of each group, centred and not, and a spread shared by all."""
    mu, tau = numpyro.sample("mu", dist.Normal(0.0, 2.0)), numpyro.sample("tau", dist.HalfNormal(1.0))
    with numpyro.plate("schools", num_schools):
        u = numpyro.sample("u", dist.Normal(mu, tau))
        w = numpyro.sample("w", dist.LogNormal(0.0, 0.5))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(u[school] + w[school] * x, 1.0), obs=y)


def with_incomes(x, school, income, num_schools, y=None):
    """What is known of each group: its effects lie around a line in its income."""
    slope, b = numpyro.sample("slope", dist.Normal(0.0, 1.0)), numpyro.sample("b", dist.Normal(0.0, 1.0))
    with numpyro.plate("schools", num_schools):
        u = numpyro.sample("u", dist.Normal(slope * income, 0.5))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(u[school] + b * x, 1.0), obs=y)


def crossed(school, teacher, num_schools, num_teachers, y=None):
    with numpyro.plate("schools", num_schools):
        u = numpyro.sample("u", dist.Normal(0.0, 1.0))
    with numpyro.plate("teachers", num_teachers):
        v = numpyro.sample("v", dist.Normal(0.0, 2.0))
    numpyro.sample("y", dist.Normal(u[school] + v[teacher], 1.0), obs=y)


def centred_by_hand(school, num_schools, y=None):
    """A mean over all groups would see those that are masked."""
    with numpyro.plate("schools", num_schools):
        u = numpyro.sample("u", dist.LogNormal(0.0, 1.0))
    numpyro.sample("y", dist.Normal((u - u.mean())[school], 1.0), obs=y)


def without_plate(school, num_schools, y=None):
    u = numpyro.sample("u", dist.Normal(0.0, 1.0).expand([num_schools]).to_event(1))
    numpyro.sample("y", dist.Normal(u[school], 1.0), obs=y)


def schooled(num_schools, seed=0):
    """Rows of groups, each of which has one at least."""
    rng = np.random.default_rng(seed)
    school = np.concatenate([np.arange(num_schools), rng.integers(0, num_schools, NUM_ROWS - num_schools)])
    effects = rng.normal(size=num_schools)
    x, noise = rng.normal(size=NUM_ROWS), rng.normal(size=NUM_ROWS)
    return {"x": x, "school": school, "num_schools": num_schools, "y": effects[school] + 0.5 * x + noise}


def rich(num_schools, seed=0):
    """The same, with an income of each group that its effect follows."""
    income = np.linspace(-2.0, 2.0, num_schools)
    data = schooled(num_schools, seed)
    return {**data, "income": income, "y": data["y"] + income[data["school"]]}


def without_x(data):
    return {name: values for name, values in data.items() if name != "x"}
