from __future__ import annotations

import xml.etree.ElementTree as ET

from graph.picture import dot, svg
from tests.fakes import context_of, tiny_plan

PLAN = tiny_plan(context_of())
NAMES = PLAN.closure(["ext:_ssl"])
SVG = "{http://www.w3.org/2000/svg}"


def test_dot_has_every_node_and_every_edge_once() -> None:
    text = dot(PLAN, NAMES)
    for name in NAMES:
        assert text.count(f'  "{name}" [') == 1
        for given in PLAN[name].inputs:
            assert text.count(f'  "{given.node}" -> "{name}";') == 1
    assert text.count("->") == sum(len(PLAN[name].inputs) for name in NAMES)


def test_the_picture_is_whole_xml_with_a_box_a_node_and_edges_to_the_right() -> None:
    root = ET.fromstring(svg(PLAN, NAMES))
    assert sorted(text.text or "" for text in root.iter(f"{SVG}text")) == sorted(NAMES)
    paths = [path.attrib["d"] for path in root.iter(f"{SVG}path")]
    assert len(paths) == sum(len(PLAN[name].inputs) for name in NAMES)
    for path in paths:
        start, end = path.removeprefix("M").split(" C")
        assert float(start.split(",")[0]) < float(end.split()[-1].split(",")[0])


def test_boxes_do_not_overlap() -> None:
    boxes = [
        tuple(float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
        for rect in ET.fromstring(svg(PLAN, PLAN.nodes)).iter(f"{SVG}rect")
        if "rx" in rect.attrib
    ]
    for index, (x, y, w, h) in enumerate(boxes):
        for a, b, c, d in boxes[index + 1 :]:
            assert x + w <= a or a + c <= x or y + h <= b or b + d <= y


def test_no_nodes_give_an_empty_picture() -> None:
    assert "<path" not in svg(PLAN, [])
