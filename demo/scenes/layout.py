"""Where things stand: a furnished room around a camera, or one object in the camera's eye.

Nothing overlaps: what stands on the floor keeps its footprint to itself, what hangs keeps its part of the wall, what
stands on furniture its part of the top.
"""

from dataclasses import dataclass, field

import numpy as np

from . import furniture, hung, materials, small
from .raycast import Camera, Surface
from .render import Light, Room
from .thing import Thing, placed

# metres from the floor to the lower edge of what hangs on a wall; others: 1.1 to 1.5
HANGING = {'door': (0, 0), 'windowpane': (0.8, 1.0), 'shelf': (1.2, 1.7), 'clock': (1.5, 1.9)}
WALL_YAW = {'back': 0.0, 'left': -np.pi / 2, 'right': np.pi / 2}


def random_room(rng, extent) -> Room:
    """An empty room of (width, height, depth) = `extent` metres; a third of them with two wallpapers."""
    wall = _wallpaper(rng)
    other = wall if rng.random() < 0.7 else _wallpaper(rng)
    pale = tuple(rng.uniform(0.62, 0.85) * np.array([1, rng.uniform(0.96, 1), rng.uniform(0.9, 1)]))
    ceiling = materials.surface(rng, pale, materials.scaled(pale, 0.85), 'cloud', 3)
    skirting = materials.paint(rng) if rng.random() < 0.3 else materials.surface(rng, (0.7,) * 3, (0.6,) * 3)
    return Room(np.asarray(extent, float), _flooring(rng), (wall, other), ceiling, skirting)


def _wallpaper(rng) -> Surface:
    colour = materials.linear(rng.random(), rng.uniform(0, 0.5) ** 2 + 0.02, rng.uniform(0.55, 0.97))
    pattern = rng.choice(['plain', 'cloud', 'plain', 'stripes', 'brick', 'diamonds', 'dots', 'pinstripes', 'tiles'])
    if pattern == 'brick':
        colour = materials.linear(rng.uniform(0, 0.1), rng.uniform(0.1, 0.55), rng.uniform(0.45, 0.9))
    period = {'brick': 1.0, 'tiles': rng.uniform(0.6, 1.2), 'stripes': rng.uniform(0.9, 2)}.get(
        pattern, rng.uniform(0.6, 1.4)
    )
    return materials.surface(rng, colour, tuple(c * rng.uniform(0.72, 1.12) for c in colour), pattern, period)


def _flooring(rng) -> Surface:
    pattern = rng.choice(['planks', 'planks', 'parquet', 'checker', 'tiles', 'cloud', 'speckle', 'weave'])
    if pattern in ('planks', 'parquet'):
        look = materials.wood(rng)
        return materials.surface(
            rng, look.colour, look.second, pattern, rng.uniform(0.9, 1.4), 0.08, turned=rng.random() < 0.5
        )
    colour = materials.linear(rng.random(), rng.uniform(0, 0.4), rng.uniform(0.35, 0.9))
    second = tuple(c * rng.uniform(0.3, 0.9) for c in colour)
    return materials.surface(
        rng, colour, second, pattern, rng.uniform(1, 1.8), 0.08 if pattern in ('checker', 'tiles') else 0
    )


def random_light(rng, extent) -> Light:
    """A lamp under the ceiling of a room of `extent` metres, and a weak light from one side."""
    position = extent * [rng.uniform(0.25, 0.75), 1, rng.uniform(0.25, 0.8)] - [0, 0.12, 0]
    warmth = np.array([1, rng.uniform(0.86, 1), rng.uniform(0.68, 1)])
    angle = rng.uniform(-np.pi, np.pi)
    side = np.array([np.sin(angle), rng.uniform(0.1, 0.5), -abs(np.cos(angle))])
    return Light(
        position=position,
        colour=(rng.uniform(1.3, 2.6) * warmth).astype(np.float32),
        ambient=(rng.uniform(0.22, 0.5) * np.array([0.97, 0.99, 1.03])).astype(np.float32),
        side=side / np.linalg.norm(side),
        side_colour=(rng.uniform(0.05, 0.35) * np.array([0.9, 0.96, 1.05])).astype(np.float32),
    )


def _corners(x, z, half_w, half_d, yaw) -> np.ndarray:
    c, s = np.cos(yaw), np.sin(yaw)
    local = np.array([[-half_w, -half_d], [half_w, -half_d], [half_w, half_d], [-half_w, half_d]])
    return local @ np.array([[c, -s], [s, c]]) + (x, z)


def _apart(one: np.ndarray, two: np.ndarray) -> bool:
    """Whether two rectangles, (4, 2) corners each, can be separated by a line along a side of either."""
    for a, b in ((one, two), (two, one)):
        for edge in (a[1] - a[0], a[2] - a[1]):
            axis = edge / np.hypot(*edge)
            p, q = a @ axis, b @ axis
            if p.max() < q.min() or q.max() < p.min():
                return True
    return False


@dataclass
class Layout:
    """A room that is being furnished."""

    room: Room
    camera: Camera
    things: list[Thing] = field(default_factory=list)
    floor: list[np.ndarray] = field(default_factory=list)  # footprints, (4, 2) corners
    walls: dict[str, list[tuple]] = field(default_factory=lambda: {k: [] for k in WALL_YAW})  # (u0, u1, y0, y1)
    clearance: float = 0.75  # metres kept free around the camera

    def stand(self, thing: Thing, x: float, z: float, yaw: float, gap: float = 0.03) -> bool:
        """Put a thing on the floor if there is room for it."""
        if thing.size[1] > 1.1 and min(x, z, self.room.extent[0] - x, self.room.extent[2] - z) < 0.45:
            return False  # it could run into what hangs on the wall
        return self._stand(thing, x, z, yaw, gap)

    def _stand(self, thing: Thing, x: float, z: float, yaw: float, gap: float) -> bool:
        half_w, half_d = thing.size[0] / 2 + gap, thing.size[2] / 2 + gap
        corners = _corners(x, z, half_w, half_d, yaw)
        extent = self.room.extent[[0, 2]]
        if (corners < -gap + 0.005).any() or (corners > extent + gap - 0.005).any():
            return False
        eye_x, _, eye_z = self.camera.eye
        reach = self.clearance + 0.45 * thing.size[1]  # tall things stand further away
        if not _apart(corners, _corners(eye_x, eye_z, reach, reach, 0)):
            return False
        if not all(_apart(corners, other) for other in self.floor):
            return False
        self.floor.append(corners)
        self.things.append(placed(thing, np.array([x, 0, z]), yaw))
        return True

    def against(self, thing: Thing, wall: str, u: float, gap: float = 0.02) -> bool:
        """Put a thing on the floor with its back to a wall, at u metres along it."""
        back = thing.size[2] / 2 + gap
        x, z, yaw = self._at_wall(wall, u, back)
        span = (u - thing.size[0] / 2, u + thing.size[0] / 2, 0, thing.size[1])
        if not self._free(wall, span) or not self._stand(thing, x, z, yaw, 0.01):
            return False
        self.walls[wall].append(span)
        return True

    def hang(self, thing: Thing, wall: str, u: float, y: float) -> bool:
        """Fix a thing to a wall, its foot at height y; a door's is 0."""
        x, z, yaw = self._at_wall(wall, u, thing.size[2] / 2)
        half = thing.size[0] / 2 + 0.06
        span = (u - half, u + half, y - 0.1, y + thing.size[1] + 0.05)
        length = self.room.extent[0 if wall == 'back' else 2]
        if u < half or u > length - half or y + thing.size[1] > self.room.extent[1] - 0.1:
            return False
        if not self._free(wall, span):
            return False
        self.walls[wall].append(span)
        self.things.append(placed(thing, np.array([x, y, z]), yaw))
        return True

    def on_top(self, rng, base: Thing, builder, tries: int = 4, margin: float = 0.01) -> bool:
        """Put a small thing on a placed one's top, clear of what is there already."""
        top = base.tops[0]
        thing = builder(rng)
        radius = np.hypot(thing.size[0], thing.size[2]) / 2 + margin
        if radius > min(top.half_w, top.half_d) * 1.25 or top.y + thing.size[1] > self.room.extent[1] - 0.05:
            return False
        for _ in range(tries):
            at = rng.uniform(-1, 1, 2) * np.maximum((top.half_w - radius, top.half_d - radius), 0.0)
            if all(np.hypot(*(at - other)) > radius + r for other, r in top.taken):
                top.taken.append((at, radius))
                turn = base.solids[0].turn
                world = turn @ np.array([at[0], 0, at[1]]) + (top.x, top.y, top.z)
                front = np.arctan2(turn[0, 2], turn[2, 2])
                self.things.append(placed(thing, world, front + rng.normal(0, 0.5)))
                return True
        return False

    def screen_on(self, rng, base: Thing, thing: Thing) -> bool:
        """Put a television on a placed cabinet, which then bears nothing else."""
        top = base.tops[0]
        if thing.size[0] / 2 > top.half_w + 0.1:
            return False
        turn = base.solids[0].turn
        yaw = np.arctan2(turn[0, 2], turn[2, 2]) + rng.normal(0, 0.08)
        self.things.append(placed(thing, np.array([top.x, top.y, top.z]), yaw))
        base.tops.clear()
        return True

    def _at_wall(self, wall: str, u: float, back: float) -> tuple[float, float, float]:
        """x, z and yaw of a thing whose middle is `back` metres in front of a wall."""
        yaw = WALL_YAW[wall]
        if wall == 'back':
            return u, self.room.extent[2] - back, yaw
        return (back if wall == 'left' else self.room.extent[0] - back), u, yaw

    def _free(self, wall: str, span) -> bool:
        return all(span[1] < s[0] or span[0] > s[1] or span[3] < s[2] or span[2] > s[3] for s in self.walls[wall])

    def seen_wall(self, rng) -> tuple[str, float]:
        """A wall and a place along it that the camera looks at."""
        extent, eye = self.room.extent, self.camera.eye
        for _ in range(20):
            column = rng.uniform(-0.1, 1.1) * self.camera.size[0]
            ray = self.camera.basis @ [(column - self.camera.size[0] / 2) / self.camera.focal, 0, 1]
            if ray[2] <= 0:
                continue
            sideways = (extent[0] if ray[0] > 0 else 0) - eye[0]
            t = min((extent[2] - eye[2]) / ray[2], sideways / ray[0] if abs(ray[0]) > 1e-6 else np.inf)
            x, z = eye[0] + t * ray[0], eye[2] + t * ray[2]
            if z > extent[2] - 0.01:
                return 'back', x
            return ('right' if ray[0] > 0 else 'left'), z
        return 'back', extent[0] / 2

    def seen_floor(self, rng, near: float = 1.3) -> tuple[float, float]:
        """A place on the floor, inside the camera's view more often than not."""
        extent, eye = self.room.extent, self.camera.eye
        column = rng.uniform(0.0, 1.0) * self.camera.size[0]
        ray = self.camera.basis @ [(column - self.camera.size[0] / 2) / self.camera.focal, 0, 1]
        ray /= np.hypot(ray[0], ray[2])
        far = min((extent[k] * (ray[k] > 0) - eye[k]) / ray[k] for k in (0, 2) if abs(ray[k]) > 1e-6)
        distance = rng.uniform(near, max(far, near + 0.1))
        return eye[0] + distance * ray[0], eye[2] + distance * ray[2]


def _furnish(rng, layout: Layout) -> None:
    """Large pieces along the walls, a table with chairs, then what lies and hangs about."""
    big = [furniture.sofa, furniture.bed, furniture.wardrobe, furniture.cabinet, furniture.cabinet, furniture.table]
    rng.shuffle(big)
    for builder in big[: rng.integers(2, 5)]:
        thing = builder(rng)
        any(layout.against(thing, *layout.seen_wall(rng)) for _ in range(5))
    if rng.random() < 0.75:
        _dining(rng, layout)
    for builder, most in (
        (furniture.chair, 2),
        (small.plant, 1.4),
        (lambda r: small.lamp(r, floor=True), 0.9),
        (small.carton, 2),
        (small.ball, 1.8),
        (small.pile_of_books, 0.8),
        (lambda r: small.vase(r, 1.5), 0.7),
    ):
        for _ in range(int(rng.uniform(0, most) + 0.5)):
            thing = builder(rng)
            any(layout.stand(thing, *layout.seen_floor(rng), rng.uniform(-np.pi, np.pi)) for _ in range(4))
    _fill_tops(rng, layout)
    fill_walls(rng, layout)
    if rng.random() < 0.45:  # under everything: 12 mm that nothing minds
        x, z = layout.seen_floor(rng, 1.8)
        rug = furniture.rug(rng)
        reach = rug.size[0] / 2 + 0.15
        x, z = np.clip((x, z), reach, layout.room.extent[[0, 2]] - reach)
        layout.things.append(placed(rug, np.array([x, 0, z]), rng.choice([0.0, np.pi / 2, rng.uniform(-1, 1)])))


def _dining(rng, layout: Layout) -> None:
    table, yaw = furniture.table(rng), rng.normal(0, 0.35)
    for _ in range(5):
        x, z = layout.seen_floor(rng, 1.9)
        if layout.stand(table, x, z, yaw):
            break
    else:
        return
    state = rng.bit_generator.state  # chairs of one set are alike: each is built from the same state
    set_of_chairs = rng.random() < 0.7
    for side in rng.permutation(4)[: rng.integers(1, 5)]:
        if set_of_chairs:
            after = rng.bit_generator.state
            rng.bit_generator.state = state
            chair = furniture.chair(rng)
            rng.bit_generator.state = after
        else:
            chair = furniture.chair(rng)
        away = table.size[2 if side % 2 == 0 else 0] / 2 + chair.size[2] / 2 + rng.uniform(0.07, 0.25)
        facing = yaw + side * np.pi / 2
        at = np.array([np.sin(facing), np.cos(facing)]) * away
        layout.stand(chair, x + at[0], z + at[1], facing + rng.normal(0, 0.12))


def _fill_tops(rng, layout: Layout) -> None:
    items = [
        small.bottle, small.bottle, small.vase, small.book, small.pile_of_books,
        lambda r: small.book(r, 1.2, standing=True), lambda r: small.lamp(r, floor=False),
        lambda r: small.plant(r, 0.5), lambda r: small.carton(r, 0.5), small.ball,
    ]  # fmt: skip
    for base in list(layout.things):
        if not base.tops:
            continue
        if base.name == 'cabinet' and rng.random() < 0.6 and layout.screen_on(rng, base, small.television(rng)):
            continue
        if base.name == 'wardrobe':
            options, count = (
                [small.carton, lambda r: small.carton(r, 0.7), lambda r: small.plant(r, 0.5)],
                rng.integers(0, 3),
            )
        elif base.name == 'box':
            options, count = [lambda r: small.carton(r, 0.6), small.book, small.ball], rng.integers(0, 2)
        else:
            options, count = items, rng.integers(1, 6)
        for _ in range(count):
            layout.on_top(rng, base, options[rng.integers(len(options))])


def fill_walls(rng, layout: Layout, amount: float = 1.0) -> None:
    """Hang things where the camera looks; `amount` scales how many."""
    height = layout.room.extent[1]
    wares = [
        (hung.painting, 1.9), (hung.clock, 0.9), (hung.window, 1.2), (hung.shelf, 1.1), (hung.door, 0.6),
        (lambda r: small.television(r, stand=False), 0.4),
    ]  # fmt: skip
    rng.shuffle(wares)
    for builder, most in wares:
        for _ in range(int(amount * rng.uniform(0, most) + 0.5)):
            thing = builder(rng)
            low, high = HANGING.get(thing.name, (1.1, 1.5))
            y = rng.uniform(low, max(low, min(high, height - thing.size[1] - 0.15)))
            any(layout.hang(thing, *layout.seen_wall(rng), y) for _ in range(4))


def furnished_room(rng: np.random.Generator, size: tuple[int, int]) -> Layout:
    """A furnished room seen by a person's or a tripod's camera. size: width, height in pixels."""
    extent = np.array([rng.uniform(3.2, 5.6), rng.uniform(2.4, 2.9), rng.uniform(3.6, 6.4)])
    x = rng.uniform(0.2, 0.8)
    eye = extent * [x, 0, 0] + [0, rng.uniform(1.1, 1.8), rng.uniform(0.15, 0.6)]
    yaw = np.radians(rng.normal((0.5 - x) * 45, 11))
    camera = Camera.look(eye, yaw, np.radians(rng.uniform(-20, -4)), np.radians(rng.uniform(52, 74)), size)
    layout = Layout(random_room(rng, extent), camera)
    _furnish(rng, layout)
    return layout
