"""What can stand in a scene, under the real names and ids of ADE20K, COCO and ImageNet.

An id is 0 or None where a data set has no such class. ADE20K ids are those of its label files: 1 to 150, 0 is 'other'.
"""

from typing import NamedTuple


class Label(NamedTuple):
    """One class in the three vocabularies."""

    ade: int  # 1-based index into mmseg's ADE20KDataset.METAINFO['classes']
    coco: int | None = None  # category_id of instances_*2017.json
    wnid: str | None = None  # the closest of ImageNet-1k's 1000


WALL, FLOOR, CEILING = 1, 4, 6

LABELS = {
    'bed': Label(8, 65, 'n03388549'),  # four-poster
    'windowpane': Label(9),
    'cabinet': Label(11),
    'door': Label(15),
    'table': Label(16, 67, 'n03201208'),  # dining table
    'plant': Label(18, 64, 'n03991062'),  # flowerpot
    'chair': Label(20, 62, 'n03376595'),  # folding chair
    'painting': Label(23),
    'sofa': Label(24, 63, 'n04344873'),  # studio couch
    'shelf': Label(25),
    'rug': Label(29),
    'wardrobe': Label(36, None, 'n04550184'),
    'lamp': Label(37, None, 'n04380533'),  # table lamp
    'cushion': Label(40),
    'box': Label(42, None, 'n02971356'),  # carton
    'pillow': Label(58),
    'book': Label(68, 84, 'n07248320'),  # book jacket
    'television receiver': Label(90, 72, 'n04404412'),
    'bottle': Label(99, 44, 'n04591713'),  # wine bottle
    'ball': Label(120, 37, 'n04254680'),  # soccer ball
    'vase': Label(136, 86, 'n04522168'),
    'clock': Label(149, 85, 'n04548280'),  # wall clock
}

WNIDS = {name: label.wnid for name, label in LABELS.items() if label.wnid}

# All 80 categories in the order and with the ids of COCO 2017; the ids have gaps.
_COCO = """
person: 1 person
vehicle: 2 bicycle, 3 car, 4 motorcycle, 5 airplane, 6 bus, 7 train, 8 truck, 9 boat
outdoor: 10 traffic light, 11 fire hydrant, 13 stop sign, 14 parking meter, 15 bench
animal: 16 bird, 17 cat, 18 dog, 19 horse, 20 sheep, 21 cow, 22 elephant, 23 bear, 24 zebra, 25 giraffe
accessory: 27 backpack, 28 umbrella, 31 handbag, 32 tie, 33 suitcase
sports: 34 frisbee, 35 skis, 36 snowboard, 37 sports ball, 38 kite, 39 baseball bat, 40 baseball glove
sports: 41 skateboard, 42 surfboard, 43 tennis racket
kitchen: 44 bottle, 46 wine glass, 47 cup, 48 fork, 49 knife, 50 spoon, 51 bowl
food: 52 banana, 53 apple, 54 sandwich, 55 orange, 56 broccoli, 57 carrot, 58 hot dog, 59 pizza, 60 donut, 61 cake
furniture: 62 chair, 63 couch, 64 potted plant, 65 bed, 67 dining table, 70 toilet
electronic: 72 tv, 73 laptop, 74 mouse, 75 remote, 76 keyboard, 77 cell phone
appliance: 78 microwave, 79 oven, 80 toaster, 81 sink, 82 refrigerator
indoor: 84 book, 85 clock, 86 vase, 87 scissors, 88 teddy bear, 89 hair drier, 90 toothbrush
"""


def _coco_categories() -> list[dict]:
    categories = []
    for line in _COCO.strip().splitlines():
        supercategory, entries = line.split(': ')
        for entry in entries.split(', '):
            number, name = entry.split(' ', 1)
            categories.append({'supercategory': supercategory, 'id': int(number), 'name': name})
    return categories


COCO_CATEGORIES = _coco_categories()
