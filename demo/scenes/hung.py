"""What hangs on walls: clocks, paintings, windows, doors, shelves with books or bottles."""

from dataclasses import replace

import numpy as np

from .materials import any_surface, darker, hard, linear, paint, surface
from .raycast import BOX, ELLIPSOID, FRUSTUM, Surface
from .small import row_of_books, row_of_bottles
from .thing import Thing, attach


def _facing_disc(thing: Thing, look: Surface, y: float, radius: float, z, taper=(1.0, 1.0)) -> None:
    """A disc whose axis is z, between the depths z = (low, high)."""
    turn = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # local y to world −z
    thing.add(FRUSTUM, look, (0, y, sum(z) / 2), (radius, (z[1] - z[0]) / 2, radius), turn, taper)


def clock(rng) -> Thing:
    """A dial with ticks and two hands, round or square, for a wall."""
    radius = rng.uniform(0.14, 0.22)
    thing = Thing('clock', size=(2 * radius, 2 * radius, 0.06))
    rim = hard(rng)
    dark = rng.random() < 0.2
    dial = surface(rng, (0.03,) * 3 if dark else linear(0.12, rng.uniform(0, 0.2), 0.97), (0.5,) * 3)
    ink = surface(rng, (0.85,) * 3 if dark else linear(rng.random(), rng.uniform(0, 0.9), 0.15), (0.1,) * 3)
    if rng.random() < 0.75:
        _facing_disc(thing, rim, radius, radius, (-0.03, 0.03), (1, 0.93))
        _facing_disc(thing, dial, radius, radius * 0.86, (-0.034, -0.03))
    else:
        thing.box(rim, (-radius, radius), (0, 2 * radius), (-0.03, 0.03))
        inner = radius * 0.86
        thing.box(dial, (-inner, inner), (radius - inner, radius + inner), (-0.034, -0.03))
    hands = [(rng.random() * 2 * np.pi, 0.0, 0.5, 0.05), (rng.random() * 2 * np.pi, 0.0, 0.75, 0.032)]
    ticks = [(k * np.pi / 6, 0.68, 0.8, 0.035 if k % 3 else 0.05) for k in range(12)]
    for angle, low, high, thick in hands + ticks:
        c, s = np.cos(angle), np.sin(angle)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        centre = turn @ np.array([0, (low + high) / 2 * radius, 0]) + (0, radius, -0.036)
        thing.add(BOX, ink, centre, (thick * radius, (high - low) / 2 * radius, 0.003), turn)
    return thing


def painting(rng) -> Thing:
    """A frame around an abstract composition."""
    w, h = rng.uniform(0.2, 0.5), rng.uniform(0.35, 0.8)
    thing = Thing('painting', size=(2 * w, h, 0.05))
    rim = rng.uniform(0.02, 0.05)
    thing.box(hard(rng), (-w, w), (0, h), (-0.025, 0.025))
    one, two = (linear(rng.random(), rng.uniform(0.1, 0.7), rng.uniform(0.4, 1)) for _ in range(2))
    pattern = rng.choice(['cloud', 'marble', 'plain', 'cloud'])
    thing.box(surface(rng, one, two, pattern, 2 * w), (-w + rim, w - rim), (rim, h - rim), (-0.028, -0.024))
    inner_w, inner_h = w - rim - 0.01, h - 2 * rim - 0.02
    for _ in range(rng.integers(1, 4)):
        half = rng.uniform(0.12, 0.42, 2) * (inner_w * 2, inner_h)
        half = np.minimum(half, (inner_w * 0.95, inner_h * 0.47))
        x = rng.uniform(-inner_w + half[0], inner_w - half[0])
        y = h / 2 + rng.uniform(-inner_h / 2 + half[1], inner_h / 2 - half[1])
        shape = ELLIPSOID if rng.random() < 0.5 else BOX
        thing.add(shape, any_surface(rng), (x, y, -0.028), (half[0], half[1], rng.uniform(0.002, 0.004)))
    return thing


def window(rng) -> Thing:
    """A frame with bars and a sill around a view that glows."""
    w, h = rng.uniform(0.35, 0.7), rng.uniform(0.8, 1.25)
    thing = Thing('windowpane', size=(2 * w, h, 0.08))
    frame = hard(rng) if rng.random() < 0.4 else surface(rng, (0.75,) * 3, (0.7,) * 3)
    day = linear(rng.uniform(0.52, 0.62), rng.uniform(0.1, 0.45), 1)
    land = linear(rng.uniform(0.1, 0.4), rng.uniform(0.2, 0.5), rng.uniform(0.25, 0.5))
    # one period over the height, the box's middle at the pattern's
    view = replace(surface(rng, land, day, 'sky', h * 1.02, glow=rng.uniform(0.8, 1.4)), offset=(rng.random(), 0.5))
    thing.box(view, (-w, w), (0, h), (-0.01, 0.04))
    rim = 0.05
    for x in (-w, w - rim, *((-rim / 2,) if rng.random() < 0.7 else ())):
        thing.box(frame, (x, x + rim), (0, h), (-0.04, 0.04))
    for y in (0, h - rim, *((h * 0.6,) if rng.random() < 0.4 else ())):
        thing.box(frame, (-w, w), (y, y + rim), (-0.038, 0.04))
    thing.box(frame, (-w - 0.05, w + 0.05), (-0.03, 0.005), (-0.1, 0.04))
    return thing


def door(rng) -> Thing:
    """A panelled leaf with a handle in its frame; its foot is the floor."""
    w, h = rng.uniform(0.38, 0.45), rng.uniform(1.95, 2.1)
    thing = Thing('door', size=(2 * w + 0.14, h + 0.07, 0.07))
    frame, leaf = hard(rng), replace(hard(rng), turned=True)
    thing.box(leaf, (-w, w), (0, h), (-0.01, 0.035))
    for x in (-w - 0.07, w):
        thing.box(frame, (x, x + 0.07), (0, h + 0.07), (-0.035, 0.035))
    thing.box(frame, (-w, w), (h, h + 0.07), (-0.035, 0.035))
    for y in ((0.15, 0.85), (1.0, h - 0.15)):
        thing.box(darker(leaf, 0.8), (-w + 0.1, w - 0.1), y, (-0.016, -0.01))
    thing.box(paint(rng), (w - 0.13, w - 0.04), (0.98, 1.01), (-0.06, -0.03))
    return thing


def shelf(rng) -> Thing:
    """A board on the wall with a row of books or bottles on it."""
    width = rng.uniform(0.6, 1.1)
    thing = Thing('shelf', size=(width + 0.06, 0.36, 0.22))
    look = hard(rng)
    thing.box(look, (-width / 2 - 0.03, width / 2 + 0.03), (0, 0.03), (-0.11, 0.11))
    for x in (-width / 2 + 0.05, width / 2 - 0.08):
        thing.box(look, (x, x + 0.03), (-0.1, 0), (0.0, 0.11))
    row = row_of_books if rng.random() < 0.7 else row_of_bottles
    filled = width * rng.uniform(0.65, 1.0)
    attach(thing, row(rng, filled), ((width - filled) / 2 * rng.choice([-1, 1]), 0.03, 0))
    return thing
