"""Writes `stores.csv` and `next_week.csv`: weekly sales of made-up stores, for the tutorials.

A store's sales fall with its price and rise in weeks of promotion; stores differ in their level and in how much the
price matters to their customers. Nothing here is real.

    python examples/make_stores.py                    # 24 stores, 20 weeks, beside this file
    python examples/make_stores.py --stores 500 -o .  # as many as you like
"""

import argparse
import csv
from pathlib import Path

import numpy as np

# fmt: off
TOWNS = (
    "Bath", "Bristol", "Cardiff", "Chester", "Derby", "Dover", "Durham", "Exeter",
    "Hull", "Leeds", "Lincoln", "Luton", "Newport", "Norwich", "Oxford", "Perth",
    "Poole", "Preston", "Reading", "Ripon", "Stoke", "Truro", "Wells", "York",
)
# fmt: on


def main() -> None:
    """Reads the command line and writes both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stores", type=int, default=len(TOWNS))
    parser.add_argument("--weeks", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent, help="folder")
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    past: list[tuple[object, ...]] = []
    future: list[tuple[object, ...]] = []
    for number in range(given.stores):
        town = TOWNS[number % len(TOWNS)]
        store = town if number < len(TOWNS) else f"{town} {number // len(TOWNS) + 1}"
        level, slope, usual_price = rng.normal(120.0, 18.0), rng.normal(-9.0, 2.5), rng.uniform(4.0, 7.0)
        for week in range(1, given.weeks + 2):
            price = round(float(usual_price + rng.normal(0.0, 0.6)), 2)
            promotion = int(rng.random() < 0.25)
            if week > given.weeks:
                future.append((store, week, price, promotion))
                continue
            sales = level + slope * (price - 5.5) + 14.0 * promotion + rng.normal(0.0, 8.0)
            past.append((store, week, price, promotion, round(float(sales), 1)))
    _write(given.output / "stores.csv", ("store", "week", "price", "promotion", "sales"), past)
    _write(given.output / "next_week.csv", ("store", "week", "price", "promotion"), future)


def _write(path: Path, names: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
