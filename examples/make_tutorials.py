"""Writes `cars.csv`, `pupils.csv` and `anglers.csv`: made-up tables for the tutorials. Nothing in them is real.

    python examples/make_tutorials.py

- cars: miles per gallon fall with horse power and weight, less so with both; years differ; a few cars were
  measured badly.
- pupils: scores of pupils in 20 schools; hours of practice help, in some schools more than in others.
- anglers: fish caught in some hours; a third of the visitors did not fish at all, which nobody wrote down.
"""

import csv
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
ORIGINS = {"usa": (0.0, 0.55), "europe": (1.2, 0.2), "japan": (2.1, 0.25)}  # effect on mpg, share of the cars


def cars(rng: np.random.Generator, number: int = 240) -> list[dict[str, object]]:
    """One car each; Student-t noise of 4 degrees of freedom."""
    year_effects = dict(zip(range(70, 83), rng.normal(0.0, 1.8, 13), strict=True))
    rows = []
    for _ in range(number):
        year = int(rng.integers(70, 83))
        origin = str(rng.choice(list(ORIGINS), p=[share for _, share in ORIGINS.values()]))
        weight = rng.normal(3.2 if origin == "usa" else 2.4, 0.45)  # in 1000 pounds
        hp = np.clip(35.0 * weight + rng.normal(0.0, 16.0), 45.0, None)
        mean = 24.0 - 0.05 * (hp - 100.0) - 5.0 * (weight - 2.9) + 0.025 * (hp - 100.0) * (weight - 2.9)
        mpg = mean + ORIGINS[origin][0] + year_effects[year] + 1.5 * rng.standard_t(4.0)
        rows.append({"mpg": round(mpg, 1), "hp": round(hp), "weight": round(weight, 2), "origin": origin, "year": year})
    return rows


def pupils(rng: np.random.Generator, schools: int = 20) -> list[dict[str, object]]:
    """One pupil each; schools of 4 to 30 pupils."""
    rows = []
    for school in range(1, schools + 1):
        level, gain = rng.normal(50.0, 5.0), rng.normal(2.0, 0.8)
        for _ in range(int(rng.integers(4, 31))):
            hours = rng.gamma(3.0, 1.2)
            score = level + gain * hours + rng.normal(0.0, 6.0)
            rows.append({"school": f"S{school:02d}", "hours": round(hours, 1), "score": round(score, 1)})
    return rows


def anglers(rng: np.random.Generator, number: int = 200) -> list[dict[str, object]]:
    """One party of visitors each."""
    rows = []
    for _ in range(number):
        hours, children = rng.uniform(0.5, 8.0), int(rng.integers(0, 4))
        fished = rng.random() > 0.35
        fish = rng.poisson(hours * np.exp(-0.1 - 0.5 * children)) if fished else 0
        rows.append({"fish": int(fish), "hours": round(hours, 2), "children": children})
    return rows


def main() -> None:
    """Writes the three tables beside this script."""
    for name, make in (("cars", cars), ("pupils", pupils), ("anglers", anglers)):
        rows = make(np.random.default_rng(7))
        with (HERE / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
