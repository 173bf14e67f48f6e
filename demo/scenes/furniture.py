"""What stands on the floor and is large: chairs, tables, sofas, beds, wardrobes, cabinets, rugs."""

from dataclasses import replace

import numpy as np

from .materials import any_surface, darker, fabric, hard, linear, paint, surface, wood
from .raycast import ELLIPSOID, Surface
from .thing import Thing, Top, attach


def _legs(thing: Thing, rng, look: Surface, half_w: float, half_d: float, height: float) -> None:
    thick, square = rng.uniform(0.018, 0.032), rng.random() < 0.5
    for x in (-half_w + thick, half_w - thick):
        for z in (-half_d + thick, half_d - thick):
            if square:
                thing.box(look, (x - thick, x + thick), (0, height), (z - thick, z + thick))
            else:
                thing.tube(look, (x, z), thick, (0, height), (0.7, 1.0))


def chair(rng) -> Thing:
    """Four legs, a seat, a closed or railed back; a quarter of them with arms."""
    w, d = rng.uniform(0.2, 0.25), rng.uniform(0.2, 0.25)
    seat, top = rng.uniform(0.42, 0.5), rng.uniform(0.8, 1.05)
    thing = Thing('chair', size=(2 * w, top, 2 * d))
    look = hard(rng)
    cover = any_surface(rng) if rng.random() < 0.6 else look
    _legs(thing, rng, look, w, d, seat - 0.03)
    thing.box(cover, (-w, w), (seat - 0.04, seat + rng.uniform(0, 0.03)), (-d, d))
    style = rng.integers(3)
    post = 0.022
    if style == 0:  # a closed back
        thing.box(cover, (-w, w), (seat + 0.02, top), (d - 0.045, d))
    else:  # posts with rails between them
        for x in (-w + post, w - post):
            thing.box(look, (x - post, x + post), (seat, top), (d - 0.04, d))
        rails = [(top - 0.1, top - 0.01), (top - 0.26, top - 0.18)] if style == 1 else [(seat + 0.15, top - 0.03)]
        for y in rails:
            thing.box(cover, (-w + 0.03, w - 0.03), y, (d - 0.032, d - 0.008))
    if rng.random() < 0.25:
        for x in (-w, w - 0.04):
            thing.box(look, (x, x + 0.04), (seat + 0.18, seat + 0.22), (-d + 0.06, d))
            thing.box(look, (x, x + 0.04), (seat, seat + 0.18), (-d + 0.06, -d + 0.1))
    return thing


def table(rng) -> Thing:
    """Rectangular on four legs, or round on a column."""
    look = hard(rng)
    height = rng.uniform(0.68, 0.78)
    thick = rng.uniform(0.025, 0.05)
    if rng.random() < 0.25:  # round, on one column
        radius = rng.uniform(0.42, 0.6)
        thing = Thing('table', size=(2 * radius, height, 2 * radius))
        thing.tube(look, (0, 0), radius, (height - thick, height))
        thing.tube(look, (0, 0), 0.05, (0.04, height - thick))
        thing.tube(look, (0, 0), radius * 0.6, (0, 0.05), (1, 0.4))
        thing.tops.append(Top(0, 0, height, radius * 0.62, radius * 0.62))
        return thing
    w, d = rng.uniform(0.5, 0.8), rng.uniform(0.36, 0.48)
    thing = Thing('table', size=(2 * w, height, 2 * d))
    thing.box(look, (-w, w), (height - thick, height), (-d, d))
    frame = look if rng.random() < 0.6 else hard(rng)
    _legs(thing, rng, frame, w - 0.03, d - 0.03, height - thick)
    if rng.random() < 0.5:
        for z in (-d + 0.06, d - 0.08):
            thing.box(frame, (-w + 0.06, w - 0.06), (height - thick - 0.07, height - thick), (z, z + 0.02))
    thing.tops.append(Top(0, 0, height, w - 0.05, d - 0.05))
    return thing


def cushion(rng, name='cushion', w=0.2, h=0.2, thick=0.07, lean=0.25) -> Thing:
    """A soft square, leaning back by `lean` radians, its foot at y = 0."""
    thing = Thing(name, size=(2 * w, 2 * h, 0.2))
    c, s = np.cos(lean), np.sin(lean)
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    thing.add(ELLIPSOID, fabric(rng), (0, h * c * 0.95, 0), (w * 1.1, h * 1.1, thick), turn)
    return thing


def sofa(rng) -> Thing:
    """Two or three seats between arms; now and then with cushions, which are objects of their own."""
    w, d = rng.uniform(0.75, 1.1), rng.uniform(0.4, 0.48)
    seat, arm, top = rng.uniform(0.4, 0.46), rng.uniform(0.55, 0.68), rng.uniform(0.75, 0.95)
    thing = Thing('sofa', size=(2 * w, top, 2 * d))
    look = fabric(rng)
    foot = rng.uniform(0.05, 0.14)
    side = rng.uniform(0.11, 0.2)
    back = rng.uniform(0.16, 0.24)
    thing.box(darker(look, 0.85), (-w + 0.02, w - 0.02), (foot, seat - 0.14), (-d + 0.02, d - 0.01))
    thing.box(look, (-w, w), (foot, top), (d - back, d))
    for x in (-w, w - side):
        thing.box(look, (x, x + side), (foot, arm), (-d, d - back))
    seats = 2 if w < 0.95 else 3
    step = 2 * (w - side) / seats
    for i in range(seats):
        x = -w + side + i * step
        thing.box(look, (x + 0.008, x + step - 0.008), (seat - 0.14, seat), (-d + 0.01, d - back))
    for x in (-w + 0.06, w - 0.06):
        for z in (-d + 0.06, d - 0.06):
            thing.tube(wood(rng), (x, z), 0.025, (0, foot))
    for x in (-1, 1):
        if rng.random() < 0.45:
            size = rng.uniform(0.17, 0.22)
            at = x * (w - side - size - 0.04) + rng.normal(0, 0.02), seat - 0.01, d - back - 0.13
            attach(thing, cushion(rng, w=size, h=size, lean=-0.3), at)
    return thing


def bed(rng) -> Thing:
    """A single or double bed with a cover and pillows, which are objects of their own."""
    w, d = rng.uniform(0.5, 0.9), rng.uniform(0.95, 1.05)
    base, top = rng.uniform(0.22, 0.3), rng.uniform(0.46, 0.56)
    head = rng.uniform(0.8, 1.1)
    thing = Thing('bed', size=(2 * w, head, 2 * d))
    frame = hard(rng) if rng.random() < 0.7 else fabric(rng)
    sheet = surface(rng, linear(0.1, rng.uniform(0, 0.1), 0.95), linear(0.1, 0.1, 0.8), 'plain')
    cover = fabric(rng)
    thing.box(frame, (-w, w), (0.06, base), (-d, d))
    thing.box(frame, (-w, w), (0, head), (d - 0.06, d))
    thing.box(sheet, (-w + 0.03, w - 0.03), (base, top), (-d + 0.03, d - 0.06))
    fold = rng.uniform(0.15, 0.45)  # where the cover ends, from the middle towards the head
    thing.box(cover, (-w + 0.01, w - 0.01), (base + 0.03, top + 0.04), (-d + 0.01, fold))
    if rng.random() < 0.5:
        thing.box(frame, (-w, w), (0, top + rng.uniform(-0.03, 0.2)), (-d - 0.05, -d))
    for x in (0.0,) if w < 0.65 else (-w / 2, w / 2):
        half = min(0.34, w * 0.8 if w < 0.65 else w * 0.42)
        attach(thing, cushion(rng, 'pillow', half, 0.2, 0.075, -1.25), (x, top + 0.01, d - 0.32))
    return thing


def _front(thing: Thing, rng, look: Surface, w: float, d: float, low: float, high: float, columns: int, rows: int):
    """Doors or drawers with knobs on the front face."""
    knob = paint(rng)
    gap = 0.012
    step_x, step_y = 2 * w / columns, (high - low) / rows
    for i in range(columns):
        for j in range(rows):
            x, y = -w + i * step_x, low + j * step_y
            thing.box(look, (x + gap, x + step_x - gap), (y + gap, y + step_y - gap), (-d - 0.018, -d))
            aside = step_x - 0.07 if i < columns / 2 else 0.07
            at = x + (step_x / 2 if rows > 1 or columns == 1 else aside)
            middle = y + step_y / 2
            thing.box(knob, (at - 0.012, at + 0.012), (middle - 0.05, middle + 0.05), (-d - 0.045, -d - 0.018))


def wardrobe(rng) -> Thing:
    """A tall piece with two or three doors."""
    w, d, h = rng.uniform(0.4, 0.8), rng.uniform(0.25, 0.31), rng.uniform(1.7, 2.1)
    thing = Thing('wardrobe', size=(2 * w, h, 2 * d + 0.05))
    look = replace(hard(rng), turned=True)  # grain along the height
    thing.box(darker(look, 0.7), (-w, w), (0, h), (-d, d))
    thing.box(look, (-w - 0.02, w + 0.02), (h - 0.04, h), (-d - 0.03, d))
    doors = look if rng.random() < 0.6 else replace(hard(rng), turned=True)
    _front(thing, rng, doors, w, d, 0.07, h - 0.05, 2 if w < 0.6 else 3, 1)
    thing.tops.append(Top(0, 0, h, w - 0.05, d - 0.05))
    return thing


def cabinet(rng) -> Thing:
    """A low piece: sideboard, television stand, chest of drawers."""
    w, d, h = rng.uniform(0.4, 0.75), rng.uniform(0.2, 0.25), rng.uniform(0.45, 0.8)
    thing = Thing('cabinet', size=(2 * w, h, 2 * d + 0.05))
    look = hard(rng)
    thing.box(darker(look, 0.75), (-w, w), (0.08, h - 0.03), (-d, d))
    thing.box(look, (-w - 0.01, w + 0.01), (h - 0.03, h), (-d - 0.02, d))
    for x in (-w, w - 0.05):
        thing.box(look, (x, x + 0.05), (0, 0.08), (-d, d))
    doors = look if rng.random() < 0.5 else hard(rng)
    _front(thing, rng, doors, w, d, 0.09, h - 0.04, rng.integers(1, 4), rng.integers(1, 3))
    thing.tops.append(Top(0, 0.03, h, w - 0.04, d - 0.03))
    return thing


def rug(rng) -> Thing:
    """A rectangle with a border or a disc, 12 mm thick."""
    w, d = rng.uniform(0.6, 1.1), rng.uniform(0.5, 0.9)
    thing = Thing('rug', size=(2 * w, 0.012, 2 * d))
    look = fabric(rng)
    if rng.random() < 0.3:
        thing.tube(look, (0, 0), w, (0, 0.012))
        thing.size = (2 * w, 0.012, 2 * w)
        return thing
    thing.box(darker(look, rng.uniform(0.5, 0.9)), (-w, w), (0, 0.01), (-d, d))
    thing.box(look, (-w + 0.07, w - 0.07), (0, 0.012), (-d + 0.07, d - 0.07))
    return thing
