"""Small figures as SVG text: one panel with axes, drawn in CSS classes so that the page decides the colours."""

import html
import itertools
from collections.abc import Sequence

import numpy as np

__all__ = ["Panel", "figure", "tick_text", "ticks"]

WIDTH, HEIGHT = 340.0, 210.0
LEFT, RIGHT, TOP, BOTTOM = 12.0, 12.0, 10.0, 40.0
LEFT_WITH_Y = 58.0


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers between `low` and `high`: multiples of 1, 2 or 5 times a power of ten, at most `most`.

    Args:
        low: Lower end.
        high: Upper end, above `low`.
        most: Largest number of ticks.
    """
    step = 10.0 ** np.floor(np.log10((high - low) / most))
    factor = next(f for f in (1, 2, 5, 10, 20) if np.floor(high / (f * step)) - np.ceil(low / (f * step)) + 1 <= most)
    step *= factor
    return [float(k * step) for k in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def tick_text(value: float, values: Sequence[float]) -> str:
    """A tick's number with the decimals that its neighbours need.

    Args:
        value: The tick.
        values: All ticks of the axis.
    """
    step = min((b - a for a, b in itertools.pairwise(values)), default=abs(value) or 1.0)
    largest = max(abs(v) for v in values)
    if largest >= 1e6 or (largest > 0 and step < 1e-4):
        return f"{value:.3g}"
    decimals = max(0, -int(np.floor(np.log10(step) + 1e-9)))
    return f"{value:z,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


class Panel:
    """One figure: marks in data units, an x axis, and a y axis where its numbers mean something.

    Attributes:
        x: Lower and upper end of the x axis.
        y: Lower and upper end of the y axis.
    """

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        x_label: str,
        y_label: str = "",
        description: str,
        x_names: Sequence[str] = (),
    ):
        """An empty panel.

        Args:
            x: Ends of the x axis.
            y: Ends of the y axis.
            x_label: What runs along x.
            y_label: What runs along y; without one, y has no numbers.
            description: The figure in words, for those who do not see it.
            x_names: Names at 0, 1, 2, ... of an x axis of categories.
        """
        self.x, self.y = x, y
        self._labels, self._description, self._names = (x_label, y_label), description, x_names
        self._left = LEFT_WITH_Y if y_label else LEFT
        self._marks: list[str] = []

    def area(self, xs: np.ndarray, ys: np.ndarray, kind: str) -> None:
        """Fills between a curve and zero."""
        points = self._points(np.r_[xs[0], xs, xs[-1]], np.r_[0.0, ys, 0.0])
        self._marks.append(f'<polygon class="{kind}" points="{points}"/>')

    def band(self, xs: np.ndarray, lows: np.ndarray, highs: np.ndarray, kind: str) -> None:
        """Fills between two curves."""
        points = self._points(np.r_[xs, xs[::-1]], np.r_[lows, highs[::-1]])
        self._marks.append(f'<polygon class="{kind}" points="{points}"/>')

    def line(self, xs: np.ndarray, ys: np.ndarray, kind: str) -> None:
        """Draws a curve."""
        self._marks.append(f'<polyline class="{kind}" points="{self._points(xs, ys)}"/>')

    def dots(self, xs: np.ndarray, ys: np.ndarray, kind: str, radius: float = 2.0) -> None:
        """Draws one dot per point."""
        places = zip(self._across(xs), self._up(ys), strict=True)
        self._marks += [f'<circle class="{kind}" cx="{px:.1f}" cy="{py:.1f}" r="{radius:g}"/>' for px, py in places]

    def bars(self, xs: np.ndarray, ys: np.ndarray, width: float, kind: str) -> None:
        """Draws bars of `width` (units of x) around `xs`, from zero to `ys`."""
        lefts, rights = self._across(xs - width / 2), self._across(xs + width / 2)
        tops, floor = self._up(ys), float(self._up(np.zeros(1))[0])
        for left, right, top in zip(lefts, rights, tops, strict=True):
            size = f'width="{right - left:.1f}" height="{max(floor - top, 0.0):.1f}"'
            self._marks.append(f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" {size}/>')

    def upright(self, xs: np.ndarray, lows: np.ndarray, highs: np.ndarray, kind: str) -> None:
        """Draws a vertical interval at each of `xs`."""
        for x, low, high in zip(self._across(xs), self._up(lows), self._up(highs), strict=True):
            self._marks.append(f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>')

    def __str__(self) -> str:
        """The SVG element."""
        text = html.escape(self._description)
        return (
            f'<svg class="panel" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{text}">'
            f"<title>{text}</title>{self._axes()}{''.join(self._marks)}</svg>"
        )

    def _axes(self) -> str:
        floor, middle = HEIGHT - BOTTOM, (self._left + WIDTH - RIGHT) / 2
        parts = [f'<line class="axis" x1="{self._left:g}" x2="{WIDTH - RIGHT:g}" y1="{floor:g}" y2="{floor:g}"/>']
        at = np.arange(len(self._names), dtype=float) if self._names else np.array(ticks(*self.x))
        names = self._names or [tick_text(value, at.tolist()) for value in at]
        for place, name in zip(self._across(at), names, strict=True):
            parts.append(_text(place, floor + 15, name, "tick", "middle"))
        parts.append(_text(middle, HEIGHT - 8, self._labels[0], "label", "middle"))
        if self._labels[1]:
            marks = ticks(*self.y)
            for place, value in zip(self._up(np.array(marks)), marks, strict=True):
                ends = f'x1="{self._left:g}" x2="{WIDTH - RIGHT:g}" y1="{place:.1f}" y2="{place:.1f}"'
                number = _text(self._left - 6, place + 4, tick_text(value, marks), "tick", "end")
                parts.append(f'<line class="grid" {ends}/>{number}')
            parts.append(
                f'<g transform="translate(11 {(TOP + floor) / 2:g}) rotate(-90)">'
                f"{_text(0, 0, self._labels[1], 'label', 'middle')}</g>"
            )
        return "".join(parts)

    def _points(self, xs: np.ndarray, ys: np.ndarray) -> str:
        return " ".join(f"{px:.1f},{py:.1f}" for px, py in zip(self._across(xs), self._up(ys), strict=True))

    def _across(self, xs: np.ndarray) -> np.ndarray:
        low, high = self.x
        return self._left + (np.asarray(xs) - low) / (high - low) * (WIDTH - RIGHT - self._left)

    def _up(self, ys: np.ndarray) -> np.ndarray:
        low, high = self.y
        return HEIGHT - BOTTOM - (np.asarray(ys) - low) / (high - low) * (HEIGHT - BOTTOM - TOP)


def _text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def figure(panel: Panel, caption: str) -> str:
    """A panel with words below it."""
    return f"<figure>{panel}<figcaption>{html.escape(caption)}</figcaption></figure>"
