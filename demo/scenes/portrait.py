"""One object in the camera's eye, with others behind it: what a classification image shows."""

from collections.abc import Callable

import numpy as np

from . import furniture, hung, small
from .labels import WNIDS
from .layout import Layout, fill_walls, random_room
from .raycast import Camera
from .scene import Scene, render_layout
from .thing import Thing

CLASSES = tuple(WNIDS)  # balanced in what is written

# what may be the subject: (builder, where it stands)
SUBJECTS: dict[str, list[tuple[Callable[..., Thing], str]]] = {
    'bed': [(furniture.bed, 'wall')],
    'table': [(furniture.table, 'floor')],
    'plant': [(small.plant, 'floor'), (lambda r: small.plant(r, 0.6), 'top')],
    'chair': [(furniture.chair, 'floor')],
    'sofa': [(furniture.sofa, 'wall')],
    'wardrobe': [(furniture.wardrobe, 'wall')],
    'lamp': [(lambda r: small.lamp(r, floor=False), 'top'), (lambda r: small.lamp(r, floor=True), 'floor')],
    'box': [(small.carton, 'floor'), (lambda r: small.carton(r, 0.6), 'top')],
    'book': [(small.pile_of_books, 'top'), (lambda r: small.book(r, 1.2, standing=True), 'top'), (small.book, 'top')],
    'television receiver': [(lambda r: small.television(r, stand=False), 'hung'), (small.television, 'cabinet')],
    'bottle': [(small.bottle, 'top')],
    'ball': [(small.ball, 'floor'), (small.ball, 'top')],
    'vase': [(small.vase, 'top'), (lambda r: small.vase(r, 1.5), 'floor')],
    'clock': [(hung.clock, 'hung')],
}

CLUTTER = (
    furniture.chair, furniture.table, furniture.sofa, furniture.cabinet, furniture.wardrobe,
    small.plant, small.carton, small.ball,
)  # fmt: skip


def _place(rng, layout: Layout, thing: Thing, where: str) -> Thing | None:
    width, _, depth = layout.room.extent
    middle = width * rng.uniform(0.4, 0.6)
    if where == 'hung':
        done = layout.hang(thing, 'back', middle, rng.uniform(1.2, 1.6))
    elif where == 'wall':
        done = layout.against(thing, 'back', middle)
    elif where == 'floor':
        done = layout.stand(thing, middle, depth * rng.uniform(0.6, 0.75), rng.normal(0, 0.7))
    else:
        base = furniture.cabinet(rng) if where == 'cabinet' or rng.random() < 0.4 else furniture.table(rng)
        if not layout.against(base, 'back', middle, gap=rng.uniform(0.02, 0.4)):
            return None
        if where == 'cabinet':
            done = layout.screen_on(rng, layout.things[-1], thing)
        else:
            done = layout.on_top(rng, layout.things[-1], lambda _: thing)
    return layout.things[-1] if done else None


def _bounds(thing: Thing) -> tuple[np.ndarray, float]:
    """Centre and radius of a placed thing."""
    reach = [np.abs(s.turn) @ s.half for s in thing.solids]
    low = np.min([s.centre - r for s, r in zip(thing.solids, reach, strict=True)], axis=0)
    high = np.max([s.centre + r for s, r in zip(thing.solids, reach, strict=True)], axis=0)
    return (low + high) / 2, float(np.linalg.norm(high - low) / 2)


def _aim(rng, layout: Layout, thing: Thing, size: tuple[int, int]) -> float:
    """Point the camera at a thing so that it fills much of the image; returns the distance."""
    centre, radius = _bounds(thing)
    fov = np.radians(rng.uniform(44, 60))
    half = np.arctan(np.tan(fov / 2) * min(1, size[1] / size[0]))
    distance = max(radius / np.sin(half) * rng.uniform(0.8, 1.75), 0.55)
    around, above = rng.uniform(-1.05, 1.05), np.radians(rng.uniform(4, 38))
    direction = np.array([np.sin(around) * np.cos(above), np.sin(above), -np.cos(around) * np.cos(above)])
    eye = np.clip(centre + distance * direction, 0.15, layout.room.extent - 0.15)
    to = centre + rng.normal(0, 0.2, 3) * radius - eye
    yaw, pitch = np.arctan2(to[0], to[2]), np.arctan2(to[1], np.hypot(to[0], to[2]))
    layout.camera = Camera.look(eye, yaw, pitch, fov, size)
    return float(np.linalg.norm(to))


def _portrait(rng, name: str, size: tuple[int, int]) -> tuple[Layout, Thing] | None:
    extent = np.array([rng.uniform(3.6, 5.6), rng.uniform(2.4, 2.9), rng.uniform(4.0, 6.4)])
    nowhere = Camera.look((extent[0] / 2, 1, 0.2), 0, 0, 1, size)
    layout = Layout(random_room(rng, extent), nowhere, clearance=0.3)
    options = SUBJECTS[name]
    builder, where = options[rng.integers(len(options))]
    subject = _place(rng, layout, builder(rng), where)
    if subject is None:
        return None
    distance = _aim(rng, layout, subject, size)
    layout.clearance = max(0.3, 0.45 * distance)
    if rng.random() < 0.4:  # something in front
        thing = (small.ball, small.plant, small.carton, furniture.chair)[rng.integers(4)](rng)
        any(layout.stand(thing, *layout.seen_floor(rng, 0.5 * distance), rng.uniform(-3, 3)) for _ in range(3))
    for _ in range(rng.integers(1, 5)):  # and behind
        thing = CLUTTER[rng.integers(len(CLUTTER))](rng)
        near = distance + 0.4
        any(layout.stand(thing, *layout.seen_floor(rng, near), rng.uniform(-3, 3)) for _ in range(3))
    for base in [t for t in layout.things if t.tops and t is not subject]:
        for _ in range(rng.integers(0, 4)):
            layout.on_top(rng, base, (small.book, small.bottle, small.vase, small.ball)[rng.integers(4)])
    fill_walls(rng, layout, 0.6)
    return layout, subject


def render_portrait(seed, name: str, size: tuple[int, int] = (144, 144)) -> Scene:
    """A synthetic image whose main object is of the class `name`, one of CLASSES, and shows on 6 % of it or more.

    Args:
        seed: an int or a sequence of ints, none negative; the same seed and name give the same image.
        size: width and height in pixels.

    Returns:
        The image with its labels and metric depth; shapes and units: see Scene.

    Raises:
        ValueError: for a class that is not in CLASSES.
    """
    if name not in SUBJECTS:
        raise ValueError(f'no class {name!r}; there are {", ".join(CLASSES)}')
    rng = np.random.default_rng(seed)
    while True:
        made = _portrait(rng, name, size)
        if made is None:
            continue
        layout, subject = made
        scene = render_layout(layout, rng, shadow_size=360)
        number = next(i for i, t in enumerate(scene.things, start=1) if t is subject)
        if scene.objects[number - 1].area >= 0.06 * scene.depth.size:
            return scene
