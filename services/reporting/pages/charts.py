"""Draws grids as plain shapes: bars, tiles, a schematic map, a trend. A hidden value is drawn as its sign only."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.reporting.pages.labels import Labels
from services.reporting.pages.pivots import SHARE, Grid
from services.reporting.pages.published_table import HIDDEN, NONE, Value

# The places of the eight cities, by column and row: roughly west to east, north to south. It is not a map of points.
CITIES = {
    "vancouver": (0, 0),
    "winnipeg": (1, 0),
    "thunder-bay": (2, 0),
    "toronto": (2, 1),
    "niagara-falls": (2, 2),
    "montreal": (3, 0),
    "halifax": (4, 1),
    "st-johns": (4, 0),
}
LEVELS = 5


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle; `style` names its class in the style sheet."""

    x: float
    y: float
    width: float
    height: float
    style: str


@dataclass(frozen=True, slots=True)
class Text:
    """A row of text."""

    x: float
    y: float
    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Polyline:
    """A polyline through points."""

    points: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing: its shapes, and its size in pixels."""

    width: int
    height: int
    shapes: tuple[Rect | Text | Polyline, ...]
    wide: bool = False


def draw(grid: Grid, labels: Labels) -> Chart:
    """Return the chart that fits a grid best."""
    if grid.rows[0][0] == "period":
        return trend(grid, labels)
    if len(grid.columns) > 1:
        return tiles(grid, labels)
    if {code for _, code in grid.rows} >= CITIES.keys():
        return city_map(grid, labels)
    return bars(grid, labels)


def size(value: Value) -> int | None:
    """Return the length of a value's bar, or None if nothing is drawn for it."""
    if value in {HIDDEN, NONE}:
        return None
    return int(str(value).lstrip("<>="))


def bars(grid: Grid, labels: Labels) -> Chart:
    """Return a bar for each row of a grid with one column, with its name above."""
    [column] = grid.columns
    most = _most(grid)
    shapes: list[Rect | Text | Polyline] = []
    for place, (row, (value,)) in enumerate(zip(grid.rows, grid.cells, strict=True)):
        top, length = 44 * place, size(value)
        shapes.append(Text(0, top + 14, labels.header(row)))
        shapes.append(Rect(0, top + 20, 240, 16, "ground"))
        if length is not None:
            shapes.append(Rect(0, top + 20, round(240 * length / most, 1), 16, "bar"))
        shapes.append(Text(246, top + 33, labels.value(column, value), "value"))
    return Chart(380, 44 * len(grid.rows), tuple(shapes))


def tiles(grid: Grid, labels: Labels) -> Chart:
    """Return a tile for each value, darker for more, with the value in it; columns have numbers, explained below."""
    top, left, width, height = 26, 340, 66, 30
    shapes: list[Rect | Text | Polyline] = []
    for across, _ in enumerate(grid.columns):
        shapes.append(Text(left + width * across + width / 2, 16, str(across + 1), "middle"))
    for down, (row, values) in enumerate(zip(grid.rows, grid.cells, strict=True)):
        y = top + height * down
        shapes.append(Text(0, y + 19, labels.header(row)))
        for across, value in enumerate(values):
            shapes += _tile(grid, value, (left + width * across, y, width - 4, height - 4), _short(grid, value, labels))
    bottom = top + height * len(grid.rows) + 8
    for across, column in enumerate(grid.columns):
        shapes.append(Text(0, bottom + 20 * across + 12, f"{across + 1}  {labels.header(column.head)}"))
    size_ = (left + width * len(grid.columns), bottom + 20 * len(grid.columns) + 8)
    return Chart(*size_, tuple(shapes), wide=True)


def city_map(grid: Grid, labels: Labels) -> Chart:
    """Return a tile for each of the eight cities at its approximate place."""
    shapes: list[Rect | Text | Polyline] = []
    for (_, code), (value,) in zip(grid.rows, grid.cells, strict=True):
        if code in CITIES:
            x, y = (120 * CITIES[code][0], 78 * CITIES[code][1])
            shapes += _tile(grid, value, (x, y, 112, 44), _short(grid, value, labels))
            shapes.append(Text(x + 56, y + 62, labels.code("region", code), "middle"))
    return Chart(600, 234, tuple(shapes), wide=True)


def trend(grid: Grid, labels: Labels) -> Chart:
    """Return the last column of a grid through time, with a gap where a value is hidden."""
    place, most = len(grid.columns) - 1, _most(grid, len(grid.columns) - 1)
    values = [row[place] for row in grid.cells]
    across = 300 / max(len(values) - 1, 1)
    points = [
        (round(20 + across * at, 1), round(110 - 90 * length / most, 1))
        if (length := size(value)) is not None
        else None
        for at, value in enumerate(values)
    ]
    shapes: list[Rect | Text | Polyline] = [Rect(0, 112, 340, 1, "axis")]
    shapes += [Polyline(" ".join(f"{x},{y}" for x, y in part)) for part in _unbroken(points) if len(part) > 1]
    for at, (point, value) in enumerate(zip(points, values, strict=True)):
        x = 20 + across * at
        if point:
            shapes.append(Rect(point[0] - 4, point[1] - 4, 8, 8, "bar"))
        anchor = "" if at == 0 else "end" if at == len(values) - 1 else "middle"
        shapes.append(Text(0 if at == 0 else x, (point[1] if point else 112) - 10, _short(grid, value, labels), anchor))
        shapes.append(Text(0 if at == 0 else x, 130 + 18 * (at % 2), str(grid.rows[at][1]), anchor))
    return Chart(340, 156, tuple(shapes))


def _tile(grid: Grid, value: Value, place: tuple[float, float, float, float], told: str) -> Iterator[Rect | Text]:
    x, y, width, height = place
    length = size(value)
    level = "ground" if length is None else f"level-{min(LEVELS - 1, LEVELS * length // (_most(grid) + 1))}"
    yield Rect(x, y, width, height, level)
    yield Text(x + width / 2, y + height / 2 + 5, told, f"middle on-{level}")


def _short(grid: Grid, value: Value, labels: Labels) -> str:
    """Return a value in few letters, so that it fits a tile; hidden ones have the sign of the files."""
    if size(value) is None:
        return str(value)
    column = grid.columns[-1]
    if column.kind == SHARE and str(value)[0] in "<>":
        sign = {"<": "≤", ">": "≥"}[str(value)[0]]
        return f"{sign} {labels.percent(size(value) or 0)}"
    return labels.value(column, value)


def _most(grid: Grid, place: int = 0) -> int:
    """Return the value of the longest bar or darkest tile: 100 for shares, otherwise the greatest value shown."""
    if grid.columns[place].kind == SHARE:
        return 100
    return max((length for row in grid.cells for value in row if (length := size(value))), default=1)


def _unbroken(points: Sequence[tuple[float, float] | None]) -> Iterator[list[tuple[float, float]]]:
    part: list[tuple[float, float]] = []
    for point in points:
        if point is None:
            yield part
            part = []
        else:
            part.append(point)
    yield part
