"""docs/architecture.svg, drawn from what the modules import: `make docs` writes it, `make check` compares it."""

from __future__ import annotations

import ast
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("pipeline", "components", "tflite", "serving", "models")
HOST = "tflite.host"
"""A box of its own: it is the lowest layer, although it belongs to tflite."""
WIDTH, GUTTER, GAP, LANE = 960, 122, 46, 22
ROOM_WIDTH, ROOM_HEIGHT, ROW = 104, 26, 34
_INK, _FAINT = "#1f2933", "#7b8794"
_FILLS = {
    "pipeline": "#e3f2e8",
    "components": "#e6effa",
    "tflite": "#fbf0dc",
    "serving": "#f6e6ee",
    "models": "#ece8f8",
    HOST: "#eceff1",
}


@dataclass
class Box:
    """A package in the picture: its rooms in rows, of which each imports only from rows below it."""

    name: str
    rows: list[list[str]]
    x: float = 0
    y: float = 0
    width: float = 0

    @property
    def height(self) -> float:
        return 40 + ROW * len(self.rows)


def imported(path: Path) -> Iterator[str]:
    """The dotted names that a module imports, also inside functions, but not those that only a type checker reads."""
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        waiting += ast.iter_child_nodes(node)


def box_of(name: str) -> str | None:
    """The box that a dotted name belongs to; None for another project's."""
    if name == HOST or name.startswith(HOST + "."):
        return HOST
    package = name.partition(".")[0]
    return package if package in PACKAGES else None


def room_of(name: str) -> str:
    """The folder or the module directly below the package; of the host, which has no folders, the module."""
    parts = name.removeprefix(HOST + ".").split(".") if box_of(name) == HOST else name.split(".")[1:]
    return parts[0] if parts else ""


def read_imports(root: Path = ROOT) -> dict[str, set[str]]:
    """Each module of the five packages, and the dotted names of theirs that it imports."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            found[name] = {target for target in imported(path) if box_of(target)}
    return found


def arrows(imports: Mapping[str, Iterable[str]]) -> Counter[tuple[str, str]]:
    """From one box to another: how many of its modules import from there.

    The picture shows no numbers but one, so that it changes with the structure alone.
    """
    counted: Counter[tuple[str, str]] = Counter()
    for name, targets in imports.items():
        source = box_of(name) or ""
        counted.update({(source, target) for target in map(box_of, targets) if target and target != source})
    return counted


def levels(edges: Iterable[tuple[str, str]], nodes: Iterable[str]) -> dict[str, int]:
    """How far above the lowest each node is. Those that import each other in a circle are level."""
    direct: dict[str, set[str]] = defaultdict(set)
    for source, target in edges:
        direct[source].add(target)
    reached = {node: _reached(direct, node) for node in nodes}
    level: dict[str, int] = {}
    # What a node reaches comes before it, or is level with it.
    for node in sorted(reached, key=lambda each: (len(reached[each] | {each}), each)):
        below = [level[other] + 1 for other in reached[node] if other in level and node not in reached[other]]
        circle = [level[other] for other in reached[node] if other in level and node in reached[other]]
        level[node] = max([0, *below, *circle])
    return level


def _reached(direct: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        new = direct.get(waiting.pop(), set()) - seen
        seen |= new
        waiting += new
    return seen


def boxes(imports: Mapping[str, Iterable[str]]) -> dict[str, Box]:
    """The boxes, with the rooms of each in rows."""
    found = {}
    for box in (*PACKAGES, HOST):
        own = {name: targets for name, targets in imports.items() if box_of(name) == box}
        edges = {
            (room_of(name), room_of(target))
            for name, targets in own.items()
            for target in targets
            if box_of(target) == box and room_of(name) != room_of(target)
        }
        level = levels(edges, {room_of(name) for name in own})
        folders = sorted({room_of(name) for name in own if name.count(".") >= 2 and box != HOST})
        rows = [[room for room in folders if level[room] == each] for each in sorted(set(level.values()), reverse=True)]
        found[box] = Box(box, [row for row in rows if row])
    return found


def place(found: Mapping[str, Box], edges: Iterable[tuple[str, str]]) -> float:
    """Gives each box its place, those that import others above them; returns the picture's height."""
    level = levels(edges, found)
    y = 20.0
    for each in sorted(set(level.values()), reverse=True):
        row = [box for box in found.values() if level[box.name] == each]
        inner = WIDTH - 2 * GUTTER
        for number, box in enumerate(row):
            box.width = (inner - 24 * (len(row) - 1)) / len(row)
            box.x, box.y = GUTTER + number * (box.width + 24), y
            box.rows = list(_wrapped(box.rows, int((box.width - 8) // (ROOM_WIDTH + 6))))
        y += max(box.height for box in row) + GAP
    return y - GAP + 20


def _wrapped(rows: list[list[str]], most: int) -> Iterator[list[str]]:
    for row in rows:
        parts = math.ceil(len(row) / most)
        size = math.ceil(len(row) / parts)
        yield from (row[start : start + size] for start in range(0, len(row), size))


def draw(imports: Mapping[str, Iterable[str]]) -> str:
    """The picture as SVG, which needs neither a script nor a font from elsewhere."""
    found, counted = boxes(imports), arrows(imports)
    height = place(found, counted)
    parts = [part for box in found.values() for part in _box(box)]
    direct = {pair for pair in counted if _adjacent(found, *pair)}
    for source, target in sorted(direct):
        parts.append(_straight(found[source], found[target], counted[source, target]))
    ends: Counter[tuple[str, int]] = Counter()
    for number, (source, target) in enumerate(sorted(set(counted) - direct)):
        side = number % 2 if found[target].width == found[source].width else int(found[target].x > WIDTH / 2)
        side = int(found[source].x > WIDTH / 2) if found[source].width < found[target].width else side
        parts.append(_around(found[source], found[target], counted[source, target], side, ends))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13">\n'
        "<title>The packages of Transom, and what they import from each other</title>\n"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{_INK}"/></marker></defs>\n'
        f'<rect width="{WIDTH}" height="{height:g}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _adjacent(found: Mapping[str, Box], source: str, target: str) -> bool:
    """Whether nothing is between the two."""
    above, below = found[source], found[target]
    return not any(above.y < box.y < below.y for box in found.values())


def _box(box: Box) -> Iterator[str]:
    yield (
        f'<rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="6" '
        f'fill="{_FILLS[box.name]}" stroke="{_FAINT}"/>'
    )
    yield _text(box.x + 14, box.y + 24, box.name, f'font-weight="600" font-size="15" fill="{_INK}"')
    for number, row in enumerate(box.rows):
        start = box.x + (box.width - len(row) * (ROOM_WIDTH + 6) + 6) / 2
        for place_in_row, room in enumerate(row):
            x, y = start + place_in_row * (ROOM_WIDTH + 6), box.y + 36 + number * ROW
            yield (
                f'<rect x="{x:g}" y="{y:g}" width="{ROOM_WIDTH}" height="{ROOM_HEIGHT}" rx="4" fill="#ffffff" '
                f'stroke="{_FAINT}"/>'
            )
            yield _text(x + ROOM_WIDTH / 2, y + 17, room, f'text-anchor="middle" fill="{_INK}"')


def _straight(source: Box, target: Box, count: int) -> str:
    """An arrow down to the next box: in the middle of the narrower of the two."""
    narrow = min(source, target, key=lambda box: box.width)
    x = narrow.x + narrow.width / 2
    return _path(f"M{x:g} {source.y + source.height:g} V{target.y:g}", count)


def _around(source: Box, target: Box, count: int, side: int, ends: Counter[tuple[str, int]]) -> str:
    """An arrow beside the boxes in between; `side` is 0 for the left and 1 for the right."""
    ends["lanes", side] += 1
    away = LANE * ends["lanes", side] - 4
    lane = WIDTH - GUTTER + away if side else GUTTER - away
    points = []
    for box in (source, target):
        ends[box.name, side] += 1
        points.append((box.x + (box.width if side else 0), box.y + 4 + 12 * ends[box.name, side]))
    (x1, y1), (x2, y2) = points
    return _path(f"M{x1:g} {y1:g} H{lane:g} V{y2:g} H{x2:g}", count)


def _path(shape: str, count: int) -> str:
    dashes = "" if count > 1 else ' stroke-dasharray="5 4"'
    return f'<path d="{shape}" fill="none" stroke="{_INK}" stroke-width="1.3"{dashes} marker-end="url(#head)"/>'


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" {style}>{escape(text)}</text>'


if __name__ == "__main__":
    sys.stdout.write(draw(read_imports()))
