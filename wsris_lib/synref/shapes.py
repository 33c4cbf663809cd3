"""What SynRef's objects are made of: a few primitives each, in units of the object's own size.

A part is a unit primitive (inside the cube [-1, 1]^3) that is scaled by `half`, turned by `tilt` degrees about the
object's x axis and moved to `centre`; z points up and the object stands on z = 0.
"""

from dataclasses import dataclass

COLOURS = {
    "red": (0.80, 0.10, 0.10),
    "orange": (0.93, 0.47, 0.08),
    "yellow": (0.92, 0.82, 0.12),
    "green": (0.14, 0.58, 0.18),
    "blue": (0.12, 0.28, 0.82),
    "purple": (0.50, 0.18, 0.66),
    "pink": (0.95, 0.52, 0.70),
    "brown": (0.42, 0.24, 0.11),
    "white": (0.93, 0.93, 0.92),
    "black": (0.09, 0.09, 0.10),
}
FIXED = {
    "dark": (0.16, 0.15, 0.16),
    "glass": (0.66, 0.80, 0.88),
    "wood": (0.45, 0.30, 0.16),
    "cream": (0.90, 0.85, 0.72),
    "carrot": (0.95, 0.50, 0.10),
    "leaf": (0.30, 0.42, 0.14),
    "clay": (0.55, 0.34, 0.26),
    "grey": (0.50, 0.50, 0.52),
    "straw": (0.70, 0.61, 0.44),
}
FIGURES = ("snowman", "robot", "bear")  # the "people" of split testA, after RefCOCO


@dataclass(frozen=True)
class Part:
    """One primitive of an object, in units of the object's size."""

    kind: str  # "sphere", "box", "cylinder" or "torus"
    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    paint: str = "main"  # the object's colour, or a name of FIXED
    tilt: float = 0.0
    taper: float = 1.0  # cylinder: radius at the top over radius at the bottom; 0 is a cone. torus: minor radius
    name: str = ""  # what people call it, if they do; primitives of one name are one part


def _legs(x: float, y: float, height: float, paint: str = "main") -> tuple[Part, ...]:
    return tuple(
        Part("box", (sx * x, sy * y, height / 2), (0.08, 0.08, height / 2), paint, name="legs")
        for sx in (-1, 1)
        for sy in (-1, 1)
    )


def _wheels(x: float, y: float, radius: float) -> tuple[Part, ...]:
    return tuple(
        Part("cylinder", (sx * x, sy * y, radius), (radius, radius, 0.09), "dark", tilt=90, name="wheels")
        for sx in (-1, 1)
        for sy in (-1, 1)
    )


CATEGORIES: dict[str, tuple[Part, ...]] = {
    "mug": (
        Part("cylinder", (0, 0, 0.75), (0.62, 0.62, 0.75)),
        Part("cylinder", (0, 0, 1.47), (0.5, 0.5, 0.05), "dark"),
        Part("torus", (0.66, 0, 0.75), (0.45, 0.45, 0.45), tilt=90, taper=0.2, name="handle"),
    ),
    "donut": (Part("torus", (0, 0, 0.36), (1, 1, 1), taper=0.36),),
    "chair": (
        Part("box", (0, 0, 0.85), (0.6, 0.6, 0.08)),
        Part("box", (0, 0.54, 1.5), (0.6, 0.07, 0.62), name="backrest"),
        *_legs(0.5, 0.5, 0.8),
    ),
    "table": (Part("box", (0, 0, 1.0), (1.05, 0.75, 0.08)), *_legs(0.9, 0.6, 1.0)),
    "car": (
        Part("box", (0, 0, 0.45), (1.1, 0.5, 0.24)),
        Part("box", (-0.1, 0, 0.85), (0.6, 0.44, 0.22), "glass"),
        Part("box", (-0.1, 0, 1.08), (0.6, 0.44, 0.05)),
        *_wheels(0.65, 0.48, 0.25),
    ),
    "truck": (
        Part("box", (0.8, 0, 0.65), (0.35, 0.5, 0.5), name="cab"),
        Part("box", (1.0, 0, 0.9), (0.17, 0.42, 0.18), "glass", name="cab"),
        Part("box", (-0.4, 0, 0.95), (0.8, 0.55, 0.65), "cream"),
        *_wheels(0.75, 0.48, 0.25),
    ),
    "tree": (
        Part("cylinder", (0, 0, 0.35), (0.16, 0.16, 0.35), "wood", name="trunk"),
        Part("cylinder", (0, 0, 1.15), (0.8, 0.8, 0.6), taper=0.1),
        Part("cylinder", (0, 0, 1.85), (0.6, 0.6, 0.55), taper=0.0),
    ),
    "snowman": (
        Part("sphere", (0, 0, 0.58), (0.62, 0.62, 0.6)),
        Part("sphere", (0, 0, 1.4), (0.45, 0.45, 0.43)),
        Part("sphere", (0, 0, 2.0), (0.32, 0.32, 0.31), name="head"),
        Part("cylinder", (0, 0, 2.42), (0.24, 0.24, 0.18), "dark", name="hat"),
        Part("cylinder", (0, -0.42, 2.0), (0.08, 0.08, 0.2), "carrot", tilt=90, taper=0.0, name="head"),
    ),
    "robot": (
        Part("box", (0, 0, 1.2), (0.46, 0.3, 0.48)),
        Part("box", (0, 0, 2.0), (0.33, 0.3, 0.28), name="head"),
        Part("box", (0, -0.3, 2.03), (0.22, 0.03, 0.08), "glass", name="head"),
        Part("box", (-0.22, 0, 0.36), (0.15, 0.17, 0.36), "dark", name="legs"),
        Part("box", (0.22, 0, 0.36), (0.15, 0.17, 0.36), "dark", name="legs"),
        Part("box", (-0.6, 0, 1.2), (0.11, 0.14, 0.44), name="arms"),
        Part("box", (0.6, 0, 1.2), (0.11, 0.14, 0.44), name="arms"),
    ),
    "bear": (
        Part("sphere", (0, 0, 0.72), (0.6, 0.52, 0.72)),
        Part("sphere", (0, -0.05, 1.72), (0.46, 0.44, 0.44), name="head"),
        Part("sphere", (-0.36, 0, 2.1), (0.17, 0.1, 0.17), name="head"),
        Part("sphere", (0.36, 0, 2.1), (0.17, 0.1, 0.17), name="head"),
        Part("sphere", (0, -0.42, 1.64), (0.2, 0.16, 0.15), "cream", name="head"),
        Part("sphere", (0, -0.3, 0.7), (0.36, 0.3, 0.44), "cream", name="belly"),
    ),
    "bottle": (
        Part("cylinder", (0, 0, 0.75), (0.42, 0.42, 0.75)),
        Part("cylinder", (0, 0, 1.7), (0.42, 0.42, 0.22), taper=0.35),
        Part("cylinder", (0, 0, 2.1), (0.15, 0.15, 0.25)),
        Part("cylinder", (0, 0, 2.4), (0.18, 0.18, 0.09), "dark", name="cap"),
    ),
    "ball": (Part("sphere", (0, 0, 0.75), (0.75, 0.75, 0.75)),),
    "house": (
        Part("box", (0, 0, 0.6), (0.75, 0.75, 0.6)),
        Part("box", (0, 0, 1.2), (0.85, 0.6, 0.6), "dark", tilt=45, name="roof"),
        Part("box", (0, -0.75, 0.38), (0.18, 0.03, 0.38), "wood", name="door"),
    ),
    "lamp": (
        Part("cylinder", (0, 0, 0.07), (0.5, 0.5, 0.07), "dark", name="base"),
        Part("cylinder", (0, 0, 0.85), (0.07, 0.07, 0.8), "dark"),
        Part("cylinder", (0, 0, 1.85), (0.72, 0.72, 0.42), taper=0.5, name="shade"),
    ),
    "mushroom": (
        Part("cylinder", (0, 0, 0.5), (0.3, 0.3, 0.5), "cream", taper=0.8, name="stem"),
        Part("sphere", (0, 0, 1.05), (0.9, 0.9, 0.45), name="cap"),
    ),
    "cactus": (
        Part("cylinder", (0, 0, 0.95), (0.26, 0.26, 0.95)),
        Part("sphere", (0, 0, 1.9), (0.26, 0.26, 0.24)),
        Part("box", (0.4, 0, 0.9), (0.3, 0.12, 0.12), name="arms"),
        Part("cylinder", (0.62, 0, 1.25), (0.14, 0.14, 0.45), name="arms"),
        Part("box", (-0.4, 0, 0.6), (0.3, 0.12, 0.12), name="arms"),
        Part("cylinder", (-0.62, 0, 0.9), (0.14, 0.14, 0.4), name="arms"),
    ),
    "rocket": (
        Part("cylinder", (0, 0, 1.05), (0.4, 0.4, 0.75)),
        Part("cylinder", (0, 0, 2.15), (0.4, 0.4, 0.35), "dark", taper=0.0, name="nose"),
        Part("sphere", (0, -0.36, 1.3), (0.17, 0.1, 0.17), "glass"),
        Part("box", (0, 0, 0.4), (0.85, 0.06, 0.32), "dark", name="fins"),
        Part("box", (0, 0, 0.4), (0.06, 0.85, 0.32), "dark", name="fins"),
    ),
    "boat": (
        Part("cylinder", (0, 0, 0.3), (1.15, 0.5, 0.3), tilt=180, taper=0.65),  # upside down: wider at the top
        Part("cylinder", (0.1, 0, 1.4), (0.05, 0.05, 0.9), "wood"),
        Part("cylinder", (-0.1, 0, 1.5), (0.75, 0.06, 0.72), "cream", taper=0.0, name="sail"),
    ),
    "bed": (
        Part("box", (0, 0, 0.45), (0.62, 1.0, 0.2)),
        Part("box", (0, 1.0, 0.75), (0.66, 0.07, 0.62), "wood", name="headboard"),
        Part("box", (0, 0.62, 0.72), (0.42, 0.24, 0.1), "cream", name="pillow"),
        *_legs(0.52, 0.88, 0.26, "wood"),
    ),
    "duck": (
        Part("sphere", (0, 0.1, 0.55), (0.6, 0.85, 0.55)),
        Part("sphere", (0, -0.5, 1.3), (0.4, 0.4, 0.4), name="head"),
        Part("sphere", (0, -0.95, 1.22), (0.22, 0.3, 0.1), "carrot", name="beak"),
    ),
    "airplane": (
        Part("cylinder", (0, 0, 0.7), (0.27, 0.27, 1.15), tilt=90, taper=0.7),
        Part("box", (0, -0.1, 0.68), (1.3, 0.3, 0.05), name="wings"),
        Part("box", (0, 0.95, 1.1), (0.05, 0.2, 0.42), name="tail"),
        Part("box", (0, 0.95, 0.8), (0.5, 0.18, 0.05), name="tail"),
        Part("cylinder", (0, 0, 0.22), (0.14, 0.3, 0.24), "dark"),
    ),
    "flower": (
        Part("cylinder", (0, 0, 0.35), (0.45, 0.45, 0.35), "clay", tilt=180, taper=0.7, name="pot"),
        Part("cylinder", (0, 0, 1.1), (0.07, 0.07, 0.5), "leaf", name="stem"),
        Part("torus", (0, 0, 1.75), (0.62, 0.62, 0.62), tilt=70, taper=0.38),
        Part("sphere", (0, -0.06, 1.77), (0.27, 0.2, 0.27), "straw"),
    ),
    "bucket": (
        Part("cylinder", (0, 0, 0.65), (0.75, 0.75, 0.65), tilt=180, taper=0.72),
        Part("cylinder", (0, 0, 1.28), (0.64, 0.64, 0.04), "dark"),
        Part("torus", (0, 0, 1.35), (0.74, 0.74, 0.74), "grey", tilt=65, taper=0.08, name="handle"),
    ),
    "cake": (
        Part("cylinder", (0, 0, 0.3), (0.95, 0.95, 0.3)),
        Part("cylinder", (0, 0, 0.68), (0.97, 0.97, 0.08), "cream", name="icing"),
        Part("cylinder", (0, 0, 0.98), (0.6, 0.6, 0.24)),
        Part("cylinder", (0, 0, 1.48), (0.09, 0.09, 0.28), "carrot", name="candle"),
    ),
}
CLUTTER: dict[str, tuple[Part, ...]] = {  # lies about, and no sentence speaks of it; of no colour that has a name here
    "pebble": (Part("sphere", (0, 0, 0.5), (0.9, 0.7, 0.55)),),
    "brick": (Part("box", (0, 0, 0.45), (1.1, 0.6, 0.45)),),
    "stick": (Part("cylinder", (0, 0, 0.2), (0.2, 0.2, 1.9), tilt=90),),
    "leaf": (Part("sphere", (0, 0, 0.1), (1.2, 0.7, 0.1)),),
    "ring": (Part("torus", (0, 0, 0.25), (0.9, 0.9, 0.9), taper=0.28),),
}
CLUTTER_COLOURS = ("grey", "straw", "leaf")
