"""An exported program without the device that it was traced on, so that it runs on the one it is moved to."""

import operator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Node

ATEN = torch.ops.aten


def without_devices(program: ExportedProgram) -> ExportedProgram:
    """The program itself, changed: tensors that it makes are on the device of its first input.

    torch.export writes down the device of each tensor made on the way: of positions (`arange`), of casts and of checks.
    The example inputs go too, which are the one thing that is stored by pickle.

    Raises ValueError for an operation with a device that isn't known here.
    """
    graph = program.graph_module.graph
    inputs = [spec.arg.name for spec in program.graph_signature.input_specs if spec.kind == InputKind.USER_INPUT]
    first = next(node for node in graph.nodes if node.name == inputs[0])
    for node in list(graph.nodes):
        if node.target in (ATEN.arange.default, ATEN.arange.start, ATEN.arange.start_step):
            with graph.inserting_before(node):
                node.replace_all_uses_with(_positions(node, first))
            graph.erase_node(node)
        elif node.target is ATEN.to.device:
            value, _, *rest = node.args
            node.target = ATEN.to.dtype
            node.args = (value, *rest)
        elif "device" in node.kwargs:
            if node.target not in (ATEN._assert_tensor_metadata.default, ATEN.to.dtype_layout):
                raise ValueError(f"{node.target} names a device; say in cadd.portable what it is without one")
            node.kwargs = {name: value for name, value in node.kwargs.items() if name != "device"}
    program.graph_module.recompile()
    program.example_inputs = None
    program.validate()
    return program


def _positions(node: Node, first: Node) -> Node:
    """`arange` as start + step * (0, 1, 2, ...), counted by a sum of ones that are of the first input's device."""
    bounds = node.args if len(node.args) > 1 else (0, *node.args)
    start, end, step = (*bounds, 1)[:3]
    length = node.meta["val"].shape[0]
    if not isinstance(length, int):  # the batch's: a number that the graph knows by the name of `end`
        assert (start, step) == (0, 1)
        length = end
    dtype = node.meta["val"].dtype
    ones = _call(node, ATEN.new_ones.default, first, [length], dtype=dtype)
    counted = _call(node, ATEN.cumsum.default, ones, 0)
    steps = _call(node, ATEN.mul.Tensor, counted, step)
    return _call(node, ATEN.add.Tensor, steps, operator.sub(start, step))


def _call(like: Node, target: Any, *arguments: Any, **options: Any) -> Node:
    """A node of the graph, with what it gives as the tracer would have noted it."""
    node = like.graph.call_function(target, arguments, options)
    known = torch.fx.node.map_arg((arguments, options), lambda given: given.meta["val"])
    with like.meta["val"].fake_mode:
        node.meta = {**like.meta, "val": target(*known[0], **known[1])}
    return node
