"""Draws a Grafana dashboard as SVG from the values that its queries returned.

Not Grafana: no more than what shows that each panel has data and what it looks like. Colours of
stat panels follow the panel's thresholds.
"""

from html import escape

CELL_W, CELL_H, GAP = 52, 30, 8
COLOURS = ["#73bf69", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#fade2a", "#8ab8ff", "#ffa6b0", "#96d98d", "#ca95e5"]
NAMED = {"green": "#37872d", "orange": "#e0752d", "red": "#c4162a"}
FONT = "font-family='Helvetica,Arial,sans-serif'"


def written(value, unit):
    """A number as a person would write it."""
    if unit == "s":
        for size, name in [(86400, "d"), (3600, "h"), (60, "min"), (1, "s")]:
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return f"{value * 1000:.3g} ms" if value else "0 s"
    text = f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return text + {"ops": "/s", "reqps": "/s"}.get(unit, "")


def named(template, labels):
    for key, value in labels.items():
        template = template.replace("{{%s}}" % key, value)
    return template or "value"


def _stat(panel, series, x, y, w, h):
    value = series[0][2][-1][1]
    defaults = panel["fieldConfig"]["defaults"]
    colour = "green"
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    yield f"<rect x='{x}' y='{y}' width='{w}' height='{h}' rx='3' fill='{NAMED[colour]}'/>"
    yield f"<text x='{x + 8}' y='{y + 18}' font-size='12' fill='#fff'>{escape(panel['title'])}</text>"
    middle = f"x='{x + w / 2}' y='{y + h / 2 + 18}' text-anchor='middle'"
    yield f"<text {middle} font-size='26' font-weight='bold' fill='#fff'>{written(value, defaults['unit'])}</text>"


def _lines(panel, series, x, y, w, h, start, end):
    unit = panel["fieldConfig"]["defaults"]["unit"]
    stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    series = sorted(series, key=lambda s: -max(v for _, v in s[2]))
    left, right, top, bottom = x + 48, x + w - 10, y + 30, y + h - 16 * min(4, -(-len(series) // 2)) - 24

    drawn, base = [], {}
    for _, name, values in series:
        if stacked:
            values = [(at, value + base.get(at, 0)) for at, value in values]
            base.update(values)
        drawn.append((name, values))
    highest = max((value for _, values in drawn for _, value in values), default=0) or 1

    def place(at, value):
        return left + (right - left) * (at - start) / (end - start), bottom - (bottom - top) * value / highest

    yield f"<rect x='{x}' y='{y}' width='{w}' height='{h}' rx='3' fill='#181b1f' stroke='#2c3235'/>"
    yield f"<text x='{x + 8}' y='{y + 18}' font-size='12' fill='#d8d9da'>{escape(panel['title'])}</text>"
    for part in (0, 0.5, 1):
        line = bottom - (bottom - top) * part
        yield f"<line x1='{left}' x2='{right}' y1='{line:.1f}' y2='{line:.1f}' stroke='#2c3235'/>"
        label = escape(written(highest * part, unit))
        yield f"<text x='{left - 4}' y='{line + 4:.1f}' font-size='9' fill='#9fa7b3' text-anchor='end'>{label}</text>"
    for number, (name, values) in enumerate(drawn):
        points = " ".join(f"{px:.1f},{py:.1f}" for px, py in (place(*value) for value in values))
        colour = COLOURS[number % len(COLOURS)]
        yield f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='1.4'/>"
    for number, (name, _) in enumerate(drawn[:8]):
        at_x, at_y = x + 12 + (number % 2) * (w - 20) / 2, bottom + 20 + 16 * (number // 2)
        yield f"<rect x='{at_x:.0f}' y='{at_y - 8}' width='10' height='3' fill='{COLOURS[number % len(COLOURS)]}'/>"
        more = f" … {len(drawn) - 7} more" if number == 7 and len(drawn) > 8 else ""
        text = escape((name + more)[: int(w / 13)])
        yield f"<text x='{at_x + 14:.0f}' y='{at_y}' font-size='10' fill='#c7d0d9'>{text}</text>"


def drawing(dashboard, data, start, end):
    """`data`: panel id -> [(labels, name, values)]."""
    height = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in dashboard["panels"]) * CELL_H
    width = 24 * CELL_W
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' {FONT}>",
        f"<rect width='{width}' height='{height}' fill='#111217'/>",
    ]
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        x, y = place["x"] * CELL_W + GAP / 2, place["y"] * CELL_H + GAP / 2
        w, h = place["w"] * CELL_W - GAP, place["h"] * CELL_H - GAP
        if panel["type"] == "row":
            parts.append(f"<text x='{x + 4}' y='{y + 17}' font-size='14' fill='#d8d9da'>{escape(panel['title'])}</text>")
        elif panel["type"] == "stat":
            parts += _stat(panel, data[panel["id"]], x, y, w, h)
        else:
            parts += _lines(panel, data[panel["id"]], x, y, w, h, start, end)
    return "\n".join([*parts, "</svg>", ""])
