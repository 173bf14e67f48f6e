"""What stands on tables and floors: lamps, balls, boxes, bottles, vases, plants, books, televisions."""

from dataclasses import replace

import numpy as np

from .materials import any_surface, darker, fabric, hard, linear, paint, surface, wood
from .raycast import ELLIPSOID, yaw_matrix
from .thing import Thing, Top, placed


def lamp(rng, floor: bool) -> Thing:
    """Base, pole and shade; a floor lamp or a table lamp."""
    h = rng.uniform(1.35, 1.7) if floor else rng.uniform(0.38, 0.55)
    shade_h = rng.uniform(0.22, 0.32) if floor else rng.uniform(0.15, 0.22)
    radius = rng.uniform(0.17, 0.24) if floor else rng.uniform(0.11, 0.15)
    thing = Thing('lamp', size=(2 * radius, h, 2 * radius))
    metal = hard(rng)
    thing.tube(metal, (0, 0), radius * rng.uniform(0.6, 0.8), (0, 0.03), (1, 0.8))
    if floor:
        thing.tube(metal, (0, 0), 0.014, (0.03, h - shade_h / 2))
    else:
        foot = h - shade_h
        if rng.random() < 0.6:
            thing.add(ELLIPSOID, metal, (0, 0.03 + foot * 0.4, 0), (radius * 0.55, foot * 0.42, radius * 0.55))
        thing.tube(metal, (0, 0), 0.016, (0.03, h - shade_h / 2))
    cloth = fabric(rng)
    on = rng.random() < 0.5
    warm = surface(rng, linear(0.1, rng.uniform(0.1, 0.35), 1), linear(0.1, 0.3, 0.9), 'plain', glow=1.3)
    look = warm if on else replace(cloth, period=0.3)
    thing.tube(look, (0, 0), radius, (h - shade_h, h), (1, rng.uniform(0.45, 0.95)))
    return thing


def ball(rng) -> Thing:
    """A patterned ball, its axis anywhere."""
    radius = rng.uniform(0.1, 0.15)
    thing = Thing('ball', size=(2 * radius,) * 3)
    hue = rng.random()
    one, two = linear(hue, rng.uniform(0, 0.9), 0.95), linear(hue + 0.4, rng.uniform(0, 0.8), rng.uniform(0.1, 0.9))
    pattern = rng.choice(['panels', 'panels', 'stripes', 'checker', 'plain'])
    look = surface(rng, one, two, pattern, 2 * np.pi * radius / rng.integers(1, 3), 0.25, turned=rng.random() < 0.5)
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    thing.add(ELLIPSOID, look, (0, radius, 0), (radius,) * 3, turn)
    return thing


def carton(rng, scale: float = 1.0) -> Thing:
    """A box with tape around it or a lid."""
    w, h, d = scale * rng.uniform(0.14, 0.3), scale * rng.uniform(0.2, 0.45), scale * rng.uniform(0.14, 0.26)
    thing = Thing('box', size=(2 * w, h, 2 * d))
    if rng.random() < 0.5:
        look = surface(rng, linear(0.08, 0.45, rng.uniform(0.55, 0.8)), linear(0.08, 0.5, 0.5), 'plain')
    else:
        look = any_surface(rng)
    thing.box(look, (-w, w), (0, h), (-d, d))
    tape = paint(rng)
    if rng.random() < 0.6:
        across = w * rng.uniform(0.12, 0.2)
        thing.box(tape, (-across, across), (h * 0.7, h + 0.003), (-d - 0.003, d + 0.003))
    else:  # a lid
        thing.box(darker(look, 0.8), (-w - 0.012, w + 0.012), (h * 0.82, h + 0.008), (-d - 0.012, d + 0.012))
    thing.tops.append(Top(0, 0, h + 0.008, w - 0.03, d - 0.03))
    return thing


def bottle(rng, scale: float = 1.0) -> Thing:
    """Body, shoulder, neck and cap; most with a label."""
    h, radius = scale * rng.uniform(0.26, 0.36), scale * rng.uniform(0.036, 0.05)
    thing = Thing('bottle', size=(2 * radius, h, 2 * radius))
    glass = surface(rng, linear(rng.random(), rng.uniform(0.3, 0.9), rng.uniform(0.2, 0.8)), (0.02,) * 3, gloss=0.7)
    shoulder, neck = h * rng.uniform(0.52, 0.62), h * rng.uniform(0.7, 0.76)
    thing.tube(glass, (0, 0), radius, (0, shoulder))
    thing.tube(glass, (0, 0), radius, (shoulder, neck), (1, 0.36))
    thing.tube(glass, (0, 0), radius * 0.36, (neck, h * 0.95))
    thing.tube(paint(rng), (0, 0), radius * 0.44, (h * 0.92, h))
    if rng.random() < 0.7:
        thing.tube(fabric(rng), (0, 0), radius * 1.02, (h * 0.15, h * rng.uniform(0.35, 0.45)))
    return thing


def vase(rng, scale: float = 1.0) -> Thing:
    """A bulging pot with a narrow waist and a flared lip."""
    h, radius = scale * rng.uniform(0.24, 0.42), scale * rng.uniform(0.075, 0.12)
    thing = Thing('vase', size=(2 * radius, h, 2 * radius))
    look = replace(any_surface(rng), period=rng.uniform(0.2, 0.4), gloss=0.35)
    belly = h * rng.uniform(0.5, 0.66)
    thing.tube(look, (0, 0), radius * 0.62, (0, h * 0.06), (1, 0.85))
    thing.add(ELLIPSOID, look, (0, belly * 0.52, 0), (radius, belly * 0.52, radius))
    thing.tube(look, (0, 0), radius * 0.5, (belly * 0.8, h * 0.9), (1, 0.75))
    thing.tube(look, (0, 0), radius * rng.uniform(0.62, 0.8), (h * 0.88, h), (0.55, 1))
    return thing


def plant(rng, scale: float = 1.0) -> Thing:
    """A pot with a bush of round tufts or a fan of long leaves."""
    pot_h, pot_r = scale * rng.uniform(0.2, 0.32), scale * rng.uniform(0.12, 0.18)
    h = pot_h + scale * rng.uniform(0.4, 0.8)
    thing = Thing('plant', size=(2.6 * pot_r, h, 2.6 * pot_r))
    pot = replace(any_surface(rng), period=0.4)
    thing.tube(pot, (0, 0), pot_r, (0, pot_h), (0.72, 1))
    thing.tube(darker(pot, 0.9), (0, 0), pot_r * 1.07, (pot_h - 0.05 * scale, pot_h))
    hue, value = rng.uniform(0.2, 0.4), rng.uniform(0.35, 0.75)
    leaf = surface(rng, linear(hue, 0.7, value), linear(hue - 0.05, 0.55, value * 0.55), 'cloud', 0.3)
    room = h - pot_h
    if rng.random() < 0.45:
        thing.tube(wood(rng), (0, 0), 0.02 * scale, (pot_h, pot_h + room * 0.5))
        for _ in range(8):
            x, z = rng.normal(0, 0.5, 2) * pot_r
            r = rng.uniform(0.5, 0.85) * pot_r
            y = rng.uniform(pot_h + 0.35 * room, h - r * 0.8)
            thing.add(ELLIPSOID, darker(leaf, rng.uniform(0.7, 1.15)), (x, y, z), (r, r * 0.85, r))
    else:
        leaves = rng.integers(9, 14)
        for i in range(leaves):
            yaw = 2 * np.pi * (i + rng.uniform(-0.3, 0.3)) / leaves * 2.4
            lean, length = rng.uniform(0.1, 0.8), room * rng.uniform(0.36, 0.48)
            c, s = np.cos(lean), np.sin(lean)
            turn = yaw_matrix(yaw) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
            centre = turn @ np.array([0, length, 0]) + (0, pot_h - 0.02, 0)
            thing.add(ELLIPSOID, darker(leaf, rng.uniform(0.65, 1.2)), centre, (0.05 * scale, length, 0.014), turn)
    reach = max(float((np.abs(s.centre) + np.abs(s.turn) @ s.half)[[0, 2]].max()) for s in thing.solids)
    thing.size = (2 * reach, h, 2 * reach)
    return thing


def _book_surfaces(rng):
    return replace(any_surface(rng), period=0.3), surface(rng, (0.8, 0.76, 0.65), (0.6, 0.55, 0.45), 'pinstripes', 0.05)


def book(rng, scale: float = 1.0, standing: bool = False) -> Thing:
    """Two covers, a spine and a block of pages; lying flat, or standing upright with its cover to the front."""
    w, h, thick = scale * rng.uniform(0.07, 0.1), scale * rng.uniform(0.1, 0.14), scale * rng.uniform(0.025, 0.05)
    thing = Thing('book', size=(2 * w, thick, 2 * h))
    cover, pages = _book_surfaces(rng)
    board = 0.004 * scale
    slabs = [
        (cover, (-w, w), (0, board), (-h, h)),
        (cover, (-w, w), (thick - board, thick), (-h, h)),
        (cover, (-w, -w + board), (0, thick), (-h, h)),
        (pages, (-w + board, w - 0.006), (board, thick - board), (-h + 0.005, h - 0.005)),
        (paint(rng), (-w * 0.6, w * 0.6), (thick, thick + 0.001), (h * 0.2, h * 0.6)),
    ]
    for look, x, y, z in slabs:
        if standing:  # turned up: its back lies against +z, its top edge up
            thing.box(look, x, tuple(v + h for v in z), tuple(sorted(thick / 2 - v for v in y)))
        else:
            thing.box(look, x, y, z)
    if standing:
        thing.size = (2 * w, 2 * h, thick)
    return thing


def pile_of_books(rng) -> Thing:
    """Several books of different sizes on top of each other; one object of the class."""
    thing = Thing('book')
    y = 0.0
    for _ in range(rng.integers(2, 5)):
        one = placed(book(rng), np.array([rng.normal(0, 0.008), y, rng.normal(0, 0.008)]), rng.normal(0, 0.2))
        thing.solids += one.solids
        y += one.size[1] + 0.001
    thing.size = (0.26, y, 0.32)
    return thing


def row_of_books(rng, width: float) -> Thing:
    """Books side by side, spines to the front: a crowd."""
    thing = Thing('book', crowd=True)
    x, tallest = 0.0, 0.0
    while True:
        thick, h = rng.uniform(0.025, 0.055), rng.uniform(0.19, 0.29)
        if x + thick > width:
            break
        thing.box(_book_surfaces(rng)[0], (x - width / 2, x + thick - 0.002 - width / 2), (0, h), (-0.09, 0.09))
        x, tallest = x + thick, max(tallest, h)
    thing.size = (width, tallest, 0.18)
    return thing


def row_of_bottles(rng, width: float) -> Thing:
    """Bottles side by side: a crowd."""
    thing = Thing('bottle', crowd=True)
    for x in np.arange(0.06, width - 0.05, 0.115):
        one = placed(bottle(rng, 0.85), np.array([x - width / 2, 0, rng.normal(0, 0.008)]), 0)
        thing.solids += one.solids
    thing.size = (width, 0.3, 0.1)
    return thing


def television(rng, stand: bool = True) -> Thing:
    """A flat screen, on or off, with a foot or for a wall."""
    w = rng.uniform(0.32, 0.55)
    h = w * rng.uniform(1.1, 1.2)
    thing = Thing('television receiver', size=(2 * w, h, 0.2 if stand else 0.07))
    body = surface(rng, linear(0, 0, rng.choice([0.1, 0.16, 0.3, 0.75])), (0.01,) * 3, gloss=0.3)
    foot = 0.06 if stand else 0.0
    thing.box(body, (-w, w), (foot, h), (-0.03, 0.03))
    if rng.random() < 0.5:
        one, two = linear(rng.random(), 0.7, 0.8), linear(rng.random(), 0.5, 0.9)
        screen = surface(rng, one, two, 'screen', 2 * w, 0.2, glow=0.8)
    else:
        screen = surface(rng, (0.012, 0.013, 0.018), (0.03,) * 3, 'cloud', 2 * w, gloss=0.5)
    rim = 0.025
    thing.box(screen, (-w + rim, w - rim), (foot + rim, h - rim), (-0.034, -0.03))
    if stand:
        thing.box(body, (-0.04, 0.04), (0.01, foot), (-0.02, 0.02))
        thing.box(body, (-w * 0.5, w * 0.5), (0, 0.015), (-0.1, 0.1))
    return thing
