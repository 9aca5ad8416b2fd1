"""Figures of a study: a score at the points of the grid, with what it varies by over the seeds."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from etils import epath
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedLocator, NullLocator

from flan_tune.errors import UserError
from flan_tune.studies.grid import Point
from flan_tune.studies.results import MissingError, Results

# Okabe and Ito's palette, told apart with every kind of colour vision; markers and dashes differ too.
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000')
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X')
DASHES = ('-', '--', '-.', ':')
HATCHES = ('', '//', '..', 'xx', '\\\\', 'oo', '++')
_STYLE = {
    'font.family': 'sans-serif',
    'font.sans-serif': ['DejaVu Sans'],
    'font.size': 10,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'axes.axisbelow': True,
    'grid.color': '#dddddd',
    'legend.frameon': False,
    'svg.fonttype': 'none',
    'svg.hashsalt': 'study',
    'hatch.linewidth': 0.6,
    'hatch.color': 'white',
}
_DPI = 150
_LONG_NAMES = 44  # Characters along the axis of a panel beyond which names are set aslant.


@dataclasses.dataclass(frozen=True)
class Figure:
    """What a figure shows: a mean over seeds and tasks for each point, with its standard error over seeds.

    `x`, `series` and `panels` are axes of the study, or 'run', or 'score' where there are several scores. Axes that
    none of them names must be fixed by `where`.

    Attributes:
        scores: measures of the study: one name, or several, which `x`, `series` or `panels` then tell apart.
        x: along the abscissa.
        series: lines or bars of a colour; None: one.
        panels: drawn side by side; None: one.
        where: axis -> label, or several, that are shown; of others all are.
        kind: 'lines' against an axis whose labels are numbers, or grouped 'bars'.
        x_label, y_label: with units; by default the axis and the unit of the score.
        x_scale: of lines: 'linear'; 'log', where 0 has its place at the left; or 'even', a step for each label.
        names: label -> what the figure calls it.
        positions: label -> its number on the abscissa, where it is none itself.
        caption: a sentence below the figure in the summary.
        published: the paper's own numbers, drawn in a panel beside ours: series -> label or number on the abscissa ->
            value.
        published_labels: what that panel has on its two axes.
    """

    scores: str | Sequence[str]
    x: str
    series: str | None = None
    panels: str | None = None
    where: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    kind: Literal['lines', 'bars'] = 'lines'
    x_label: str = ''
    y_label: str = ''
    x_scale: Literal['linear', 'log', 'even'] = 'linear'
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    positions: Mapping[str, float] = dataclasses.field(default_factory=dict)
    caption: str = ''
    published: Mapping[str, Mapping[Any, float]] = dataclasses.field(default_factory=dict)
    published_labels: Sequence[str] = ('', '')

    @property
    def measures(self) -> list[str]:
        return [self.scores] if isinstance(self.scores, str) else [*self.scores]

    def check(self, results: Results) -> None:
        """Raises a UserError where two numbers would have the same place, or none is to be shown."""
        for name in self.measures:
            results.measure(name)
        for axis in filter(None, (self.x, self.series, self.panels)):
            if axis != 'score':
                results.check_axis(axis)
        places = [place for place, _, _ in _places(self, results)]
        if not places:
            raise UserError(f'no run of the study lies on the axis {self.x!r}.')
        if twice := [place for place in places if places.count(place) > 1]:
            raise UserError(
                f'several runs or scores lie at {dict(twice[0])}: fix their axis with `where` (also run=NAME).'
            )
        if self.kind == 'lines':
            _positions(self, [dict(place)[self.x] for place in places])


@dataclasses.dataclass(frozen=True)
class Mark:
    """A number of the figure."""

    x: str
    series: str
    panel: str
    mean: float
    error: float
    seeds: int


def marks(figure: Figure, results: Results) -> list[Mark]:
    """Returns what the figure shows of the results that are there."""
    found = []
    for place, name, point in _places(figure, results):
        try:
            summary = results.summary(name, point, figure.where.get('checkpoint'))
        except MissingError:
            continue
        at = dict(place)
        found.append(
            Mark(
                at[figure.x],
                at.get(figure.series, ''),
                at.get(figure.panels, ''),
                summary.mean,
                summary.error,
                summary.seeds,
            )
        )
    return found


def write_figure(folder: str, name: str, figure: Figure, results: Results) -> bool:
    """Writes NAME.png and NAME.svg into a folder; returns False where there is nothing to show yet."""
    found = marks(figure, results)
    if not found:
        return False
    with rc_context(_STYLE):
        canvas = _draw(figure, results, found)
        for suffix in ('png', 'svg'):
            path = epath.Path(folder) / f'{name}.{suffix}'
            with path.open('wb') as file:
                canvas.savefig(file, format=suffix, dpi=_DPI, metadata=_undated(suffix))
    return True


def _undated(suffix: str) -> dict[str, None]:
    return {'Date': None} if suffix == 'svg' else {}


def _places(
    figure: Figure, results: Results
) -> list[tuple[tuple[tuple[str, str], ...], str, Point]]:
    """(where in the figure, measure, point) of all that it is to show."""
    where = {axis: label for axis, label in figure.where.items() if axis != 'checkpoint'}
    named = [axis for axis in (figure.x, figure.series, figure.panels) if axis]
    found = []
    for point in results.select(where):
        labels = {'run': point.run, **dict(point.labels)}
        for name in figure.measures:
            place = labels | {'score': name}
            if figure.x in place:
                at = tuple((axis, place.get(axis, '')) for axis in named)
                found.append((at, name, point))
    return found


def _draw(figure: Figure, results: Results, found: Sequence[Mark]) -> Canvas:
    panels = _ordered(figure.panels, {mark.panel for mark in found}, figure, results)
    series = _ordered(figure.series, {mark.series for mark in found}, figure, results)
    across = _ordered(figure.x, {mark.x for mark in found}, figure, results)
    width = max(5.2, 0.55 * len(across) * (len(series) if figure.kind == 'bars' else 1) + 1.4)
    width = min(width, 9.0 if len(panels) == 1 else 5.2)
    count = len(panels) + bool(figure.published)
    canvas = Canvas(figsize=(width * count + 0.4, 4.2), layout='constrained')
    *places, last = canvas.subplots(1, count, squeeze=False)[0]
    if figure.published:
        _draw_published(figure, last)
    else:
        places.append(last)
    draw = _lines if figure.kind == 'lines' else _bars
    for place, panel in zip(places, panels, strict=True):
        if place is not places[0]:
            place.sharey(places[0])
            place.tick_params(labelleft=False)
        draw(place, figure, [m for m in found if m.panel == panel], across, series)
        place.set_xlabel(figure.x_label or figure.x)
        title = figure.names.get(panel, panel) or ('here' if figure.published else '')
        place.set_title(title, fontsize=10)
    first = canvas.axes[0]
    first.set_ylabel(figure.y_label or _unit(figure, results))
    handles, labels = _legend(places)
    if series != ['']:
        canvas.legend(
            handles,
            labels,
            title=figure.series if figure.series not in ('run', 'score') else None,
            loc='outside upper center',
            ncols=_columns(labels, width * count),
        )
    canvas.text(
        0.995, 0.005, _error_text(found), ha='right', va='bottom', fontsize=7, color='#555555'
    )
    canvas.get_layout_engine().set(rect=(0, 0.03, 1, 0.97))
    return canvas


def _columns(labels: Sequence[str], inches: float) -> int:
    """How many names of a legend stand side by side: a character takes about 0.08 inches, a handle 0.6."""
    widest = max(len(line) for label in labels for line in label.split('\n'))
    return max(1, min(len(labels), int(inches / (0.6 + 0.08 * widest))))


def _lines(
    place: Axes, figure: Figure, shown: Sequence[Mark], across: Sequence[str], series: Sequence[str]
) -> None:
    positions = _positions(figure, across)
    # Error bars at one place stand beside each other.
    shift = 0.012 * (1 if figure.x_scale == 'log' else _span(positions.values()))
    for number, name in enumerate(series):
        mine = sorted((m for m in shown if m.series == name), key=lambda m: positions[m.x])
        if not mine:
            continue
        beside = shift * (number - (len(series) - 1) / 2)
        at = [positions[mark.x] for mark in mine]
        at = [x * (1 + 3 * beside) if figure.x_scale == 'log' else x + beside for x in at]
        place.errorbar(
            at,
            [mark.mean for mark in mine],
            [mark.error for mark in mine],
            label=figure.names.get(name, name),
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            linestyle=DASHES[number % len(DASHES)],
            markersize=5,
            linewidth=1.6,
            elinewidth=1.0,
            capsize=2.5,
        )
    if figure.x_scale == 'log':
        smallest = min((x for x in positions.values() if x > 0), default=1.0)
        if min(positions.values()) > 0:
            place.set_xscale('log')
        else:
            place.set_xscale('symlog', linthresh=smallest, linscale=0.5)
        place.xaxis.set_minor_locator(NullLocator())
    ticks = sorted(positions.items(), key=lambda item: item[1])
    place.xaxis.set_major_locator(FixedLocator([x for _, x in ticks]))
    place.set_xticklabels(
        _apart([figure.names.get(label, label) for label, _ in ticks], ticks, figure.x_scale)
    )
    place.margins(x=0.06)


def _bars(
    place: Axes, figure: Figure, shown: Sequence[Mark], across: Sequence[str], series: Sequence[str]
) -> None:
    thickness = 0.8 / len(series)
    for number, name in enumerate(series):
        mine = [mark for mark in shown if mark.series == name]
        centres = [across.index(m.x) + (number - (len(series) - 1) / 2) * thickness for m in mine]
        bars = place.bar(
            centres,
            [mark.mean for mark in mine],
            thickness * 0.94,
            yerr=[mark.error for mark in mine],
            label=figure.names.get(name, name),
            color=COLOURS[number % len(COLOURS)],
            hatch=HATCHES[number % len(HATCHES)],
            error_kw={'elinewidth': 1.0, 'capsize': 2.5, 'ecolor': '#222222'},
        )
        for bar, mark in zip(bars, mine, strict=True):
            error = 0.0 if math.isnan(mark.error) else mark.error
            top = mark.mean + error if mark.mean >= 0 else mark.mean - error
            place.annotate(
                f'{mark.mean:.1f}',
                (bar.get_x() + bar.get_width() / 2, top),
                (0, 2 if mark.mean >= 0 else -2),
                textcoords='offset points',
                ha='center',
                va='bottom' if mark.mean >= 0 else 'top',
                fontsize=8 if len(across) * len(series) <= 16 else 6,
            )
    names = [figure.names.get(label, label) for label in across]
    aslant = sum(map(len, names)) > _LONG_NAMES
    place.set_xticks(
        range(len(across)), names, rotation=30 if aslant else 0, ha='right' if aslant else 'center'
    )
    place.set_xlim(-0.6, len(across) - 0.4)
    place.grid(False, axis='x')
    place.axhline(0, color='#222222', linewidth=0.8)
    place.margins(y=0.12)


def _ordered(axis: str | None, labels: set[str], figure: Figure, results: Results) -> list[str]:
    """Labels in the order of the study; those of no axis of it, such as a baseline's, first."""
    known = list(results.axes.get(axis, ())) if axis else []
    if axis == 'score':
        known = figure.measures
    if axis == 'run':
        known = [*dict.fromkeys(point.run for point in results.points)]
    return sorted(labels, key=lambda label: known.index(label) if label in known else -1)


def _positions(figure: Figure, across: Sequence[str]) -> dict[str, float]:
    if figure.x_scale == 'even':
        return {label: float(place) for place, label in enumerate(across)}
    try:
        return {label: float(figure.positions.get(label, label)) for label in across}
    except ValueError:
        raise UserError(
            f"lines against {figure.x!r}: {', '.join(across)} are no numbers; give `positions`, x_scale='even', "
            "or kind='bars'."
        ) from None


def _apart(names: Sequence[str], ticks: Sequence[tuple[str, float]], scale: str) -> list[str]:
    """Leaves out names that would touch the one before."""
    if scale == 'log':
        at = [math.log10(x) if x > 0 else -math.inf for _, x in ticks]
    else:
        at = [x for _, x in ticks]
    finite = [x for x in at if math.isfinite(x)]
    room = _span(finite) / 40
    kept, last = [], (-math.inf, 0)
    for name, x in zip(names, at, strict=True):
        fits = not math.isfinite(last[0]) or x - last[0] > room * (len(name) + last[1]) / 2
        kept.append(name if fits else '')
        last = (x, len(name)) if fits else last
    return kept


def _span(values: Any) -> float:
    values = [*values]
    return float(np.ptp(values)) if len(values) > 1 else 1.0


def _unit(figure: Figure, results: Results) -> str:
    units = {results.measure(name).unit for name in figure.measures}
    name = figure.measures[0] if len(figure.measures) == 1 else 'score'
    return f'{name} ({" / ".join(sorted(units))})'


def _draw_published(figure: Figure, place: Axes) -> None:
    """The paper's numbers, with a legend of their own below: its series are seldom ours."""
    found = [
        Mark(str(x), name, '', float(value), math.nan, 0)
        for name, values in figure.published.items()
        for x, value in values.items()
    ]
    across = list(dict.fromkeys(mark.x for mark in found))
    draw = _lines if figure.kind == 'lines' else _bars
    draw(place, figure, found, across, [*figure.published])
    x_label, y_label = figure.published_labels
    place.set_xlabel(x_label or figure.x_label or figure.x)
    place.set_ylabel(y_label)
    place.set_title('published', fontsize=10)
    if len(figure.published) > 1:
        place.legend(loc='upper center', bbox_to_anchor=(0.5, -0.16), ncols=4)


def _legend(places: Sequence[Axes]) -> tuple[list[Any], list[str]]:
    found: dict[str, Any] = {}
    for place in places:
        for handle, label in zip(*place.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return [*found.values()], [*found]


def _error_text(found: Sequence[Mark]) -> str:
    seeds = sorted({mark.seeds for mark in found})
    count = str(seeds[0]) if len(seeds) == 1 else f'{seeds[0]} to {seeds[-1]}'
    if seeds == [1]:
        return 'one seed: no error bars'
    return f'means over {count} seeds; bars: standard error'
