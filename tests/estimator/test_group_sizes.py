"""One estimator for any number of groups: closed forms, names of groups, and groups never seen."""

import functools

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from model.group_models import known_spread, random_intercepts, rich, schooled, with_incomes, without_x
from numpy.testing import assert_allclose, assert_array_equal

import posterity
from posterity.model.intake import read_arrays
from posterity.results.new_groups import groups_of_rows
from posterity.runtime.errors import InputError

NAMES = np.array(["ash", "birch", "cedar", "dogwood", "elm"])


def closed_form(data):
    """Mean and sd of each group of `known_spread`."""
    counts = np.bincount(data["school"], minlength=data["num_schools"])
    sums = np.bincount(data["school"], data["y"], minlength=data["num_schools"])
    return sums / (1.0 + counts), (1.0 + counts) ** -0.5


def named(data):
    return {**data, "school": NAMES[data["school"]], "num_schools": None}


@pytest.fixture(scope="module")
def estimator():
    return posterity.informed(known_spread, like=without_x(schooled(5)))


@pytest.fixture(scope="module")
def of_names(estimator):
    return estimator.infer(named(without_x(schooled(5))))


def test_fewer_and_more_groups_are_answered_as_their_closed_form_says(estimator):
    datasets = [without_x(schooled(number, seed=number)) for number in (5, 9, 3, 6)]
    together = estimator.infer_each(datasets, names=["a", "b", "c", "d"])
    for data, posterior in zip(datasets, together, strict=True):
        mean, sd = closed_form(data)
        assert posterior.verdict == "corrected" and posterior["u"].shape == (1000, data["num_schools"])
        assert_allclose(posterior["u"].mean(axis=0), mean, atol=4.5 * sd.max() / np.sqrt(1000))  # 23 groups: 1 in 6,000
        assert_allclose(posterior["u"].std(axis=0), sd, rtol=0.12)  # 5 standard errors
    assert_array_equal(estimator.infer(datasets[1], name="b")["u"], together[1]["u"])


def test_it_agrees_with_models_made_for_exactly_so_many():
    estimator = posterity.informed(random_intercepts, like=schooled(5))
    for number in (5, 9):
        data = schooled(number)
        padded = estimator.infer(data)
        rows = {name: values for name, values in data.items() if name != "num_schools"}
        exact = posterity.infer(functools.partial(random_intercepts, num_schools=number), rows)
        assert padded.verdict == exact.verdict == "corrected"
        for site in ("mu", "tau", "b", "u"):
            spread, errors = exact[site].std(axis=0), 5.0 * np.sqrt(1.0 / padded.ess + 1.0 / exact.ess)
            assert np.all(np.abs(padded[site].mean(axis=0) - exact[site].mean(axis=0)) < errors * spread), site


def test_groups_have_the_names_that_they_were_given(estimator, of_names):
    of_codes = estimator.infer(without_x(schooled(5)))
    assert_array_equal(of_names["u"], of_codes["u"])
    assert of_names.labels["u"] == tuple(f"u[{name}]" for name in NAMES)
    assert of_codes.labels["u"] == tuple(f"u[{code}]" for code in range(5))
    tree = of_names.to_arviz()
    assert list(tree["posterior"]["schools"].values) == list(NAMES)
    assert list(tree["constant_data"]) == ["school"]


def test_new_groups_are_predicted_by_their_prior_and_told(of_names):
    rows = {"school": ["elm", "yew", "ash", "oak"]}
    predicted = of_names.predict(rows)
    mean, sd = closed_form(schooled(5))
    assert_allclose(predicted.mean, [mean[4], 0.0, mean[0], 0.0], atol=4.5 * np.sqrt(2.0 / 1000))
    width = 2.0 * 1.645 * np.sqrt([1.0 + sd[4] ** 2, 2.0, 1.0 + sd[0] ** 2, 2.0])
    assert_allclose(predicted.upper - predicted.lower, width, rtol=0.2)  # 4 standard errors
    assert any("2 groups of 'school' (oak, yew) had no row in the dataset" in reason for reason in predicted.reasons)
    assert of_names.predict({"school": ["elm"]}).reasons == of_names.reasons


def test_new_codes_are_new_groups_however_large(estimator):
    posterior = estimator.infer(without_x(schooled(5)))
    far, near = (posterior.predict({"school": [0, code, 2]}) for code in (10**6, 5))
    assert_array_equal(far.mean, near.mean)
    assert "1 group of 'school' (1000000) had no row" in far.reasons[-1]


def test_two_rows_of_one_new_group_share_its_effect(estimator):
    """A new group's rows vary together: the mean of many is as uncertain as the effect alone."""
    posterior = estimator.infer(without_x(schooled(5)))
    grouped = groups_of_rows(posterior, {"school": [7, 7, 8]})
    assert_array_equal(grouped.rows["school"], [5, 5, 6])
    arrays = read_arrays(grouped.model, {**grouped.rows, "y": np.zeros(3)})
    effects = grouped.draws(posterior, arrays, seed=0)["u"]
    assert effects.shape == (1000, 7)
    assert_allclose(effects[:, 5:].std(axis=0), 1.0, rtol=0.12)
    assert_array_equal(effects[:, :5], posterior["u"])


def test_what_is_known_of_groups_decides_what_new_ones_are_like():
    estimator = posterity.informed(with_incomes, like=rich(5))
    small, large = (estimator.infer(rich(number)) for number in (5, 9))
    for number, posterior in ((5, small), (9, large)):
        rows = {name: values for name, values in rich(number).items() if name not in ("num_schools", "income")}
        fixed = functools.partial(with_incomes, num_schools=number, income=rich(number)["income"])
        exact = posterity.infer(fixed, rows)
        for site in ("slope", "b", "u"):
            errors = 5.0 * exact[site].std(axis=0) * np.sqrt(2.0 / 900.0)
            assert np.all(np.abs(posterior[site].mean(axis=0) - exact[site].mean(axis=0)) < errors), site
    tree = small.to_arviz()
    assert tree["constant_data"]["income"].dims == ("schools",)
    assert small.predict({"x": [0.0], "school": [1]}).mean.shape == (1,)
    with pytest.raises(InputError, match="new rows lack 'income', which 'with_incomes' must know of new schools"):
        small.predict({"x": [0.0], "school": [5]})
    new = small.predict({"x": [0.0, 0.0], "school": [5, 6], "income": [*rich(5)["income"], -10.0, 10.0]})
    expected = np.array([-10.0, 10.0]) * small["slope"].mean()
    assert_allclose(new.mean, expected, atol=5.0 * np.sqrt((1.25 + 100.0 * small["slope"].var()) / 1000))


def flat_groups(school, num_schools, y):
    with numpyro.plate("schools", num_schools):
        u = numpyro.sample("u", dist.ImproperUniform(dist.constraints.real, (), ()))
    numpyro.sample("y", dist.Normal(u[school], 1.0), obs=y)


def test_nothing_is_known_of_new_groups_with_a_flat_prior():
    data = without_x(schooled(5))
    posterior = posterity.infer(flat_groups, data)
    means = np.bincount(data["school"], data["y"]) / np.bincount(data["school"])
    assert_allclose(posterior["u"].mean(axis=0), means, atol=0.15)
    assert posterior.predict({"school": [1]}).mean.shape == (1,)
    with pytest.raises(InputError, match="'u' of 'flat_groups' has an improper prior"):
        posterior.predict({"school": [5]})


def test_words_and_codes_do_not_mix(estimator, of_names):
    with pytest.raises(InputError, match="must be words, such as 'ash', as in the dataset; got codes"):
        of_names.predict({"school": [0, 1]})
    with pytest.raises(InputError, match=r"must be codes from 0 to 4, or larger for new groups.*got words"):
        estimator.infer(without_x(schooled(5))).predict({"school": ["ash"]})


def test_words_need_a_plate_to_pick_from(estimator):
    def fixed(school, y):
        with numpyro.plate("schools", 5):
            u = numpyro.sample("u", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(u[school], 1.0), obs=y)

    data = {name: values for name, values in named(without_x(schooled(5))).items() if name != "num_schools"}
    with pytest.raises(InputError, match="'school' must be a numeric array"):
        posterity.infer(fixed, data)
    with pytest.raises(InputError, match="'y' must be a numeric array; words stand for groups only"):
        estimator.infer({**without_x(schooled(5)), "y": NAMES[schooled(5)["school"]]})


def test_a_dataset_that_contradicts_itself_does_not_stop_the_others(estimator):
    good, bad = without_x(schooled(5)), {**without_x(schooled(5)), "num_schools": 2}
    answered, unanswered = estimator.infer_each([good, bad])
    assert answered.verdict == "corrected"
    assert unanswered.verdict == "unanswered" and "'num_schools' is 2, but" in unanswered.reasons[0]
    with pytest.raises(InputError, match="'school' is missing"):
        estimator.infer({"y": good["y"]})
    with pytest.raises(InputError, match="new rows lack 'school'"):
        answered.predict({"num_schools": 5})
