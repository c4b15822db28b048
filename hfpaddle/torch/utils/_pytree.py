"""``torch.utils._pytree``: nested containers as a list of leaves and a form."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class _Node(NamedTuple):
    flatten: Callable
    unflatten: Callable


SUPPORTED_NODES: dict[type, _Node] = {}


@dataclass
class TreeSpec:
    """The form of a tree: its type, what its flattening needs, and the forms below."""

    type: Any
    context: Any
    children_specs: list[TreeSpec] = field(default_factory=list)

    @property
    def num_leaves(self) -> int:
        """How many leaves it takes."""
        return 1 if self.type is None else sum(c.num_leaves for c in self.children_specs)

    def is_leaf(self) -> bool:
        """Whether it is a leaf."""
        return self.type is None


class LeafSpec(TreeSpec):
    """The form of a leaf."""

    def __init__(self) -> None:
        super().__init__(None, None, [])


def register_pytree_node(cls: type, flatten_fn: Callable, unflatten_fn: Callable, **_: Any) -> None:
    """``flatten_fn`` gives (children, context), ``unflatten_fn`` takes (children, context)."""
    SUPPORTED_NODES[cls] = _Node(flatten_fn, unflatten_fn)


_register_pytree_node = register_pytree_node
_NAMEDTUPLE = _Node(lambda t: (list(t), type(t)), lambda values, kind: kind(*values))

register_pytree_node(list, lambda t: (t, None), lambda values, _: list(values))
register_pytree_node(tuple, lambda t: (list(t), None), lambda values, _: tuple(values))
register_pytree_node(
    dict,
    lambda t: (list(t.values()), list(t)),
    lambda values, keys: dict(zip(keys, values, strict=True)),
)
register_pytree_node(
    OrderedDict,
    lambda t: (list(t.values()), list(t)),
    lambda values, keys: OrderedDict(zip(keys, values, strict=True)),
)
register_pytree_node(
    defaultdict,
    lambda t: (list(t.values()), [t.default_factory, list(t)]),
    lambda values, context: defaultdict(context[0], zip(context[1], values, strict=True)),
)
register_pytree_node(
    deque, lambda t: (list(t), t.maxlen), lambda values, length: deque(values, maxlen=length)
)


def _node(tree: Any) -> _Node | None:
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return SUPPORTED_NODES.get(type(tree), _NAMEDTUPLE)
    return SUPPORTED_NODES.get(type(tree))


def tree_flatten(tree: Any, is_leaf: Callable | None = None) -> tuple[list, TreeSpec]:
    """Leaves in order, and the form that :func:`tree_unflatten` takes."""
    node = None if is_leaf is not None and is_leaf(tree) else _node(tree)
    if node is None:
        return [tree], LeafSpec()
    children, context = node.flatten(tree)
    leaves: list = []
    specs = []
    for child in children:
        below, spec = tree_flatten(child, is_leaf)
        leaves += below
        specs.append(spec)
    return leaves, TreeSpec(type(tree), context, specs)


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> Any:
    """The tree of this form with these leaves."""
    leaves = list(leaves)
    if len(leaves) != treespec.num_leaves:
        raise ValueError(
            f"tree_unflatten(leaves, treespec): `leaves` has length {len(leaves)} but the spec "
            f"refers to a pytree that holds {treespec.num_leaves} items."
        )
    return _unflatten(iter(leaves), treespec)


def _unflatten(leaves: Any, spec: TreeSpec) -> Any:
    if spec.type is None:
        return next(leaves)
    children = [_unflatten(leaves, child) for child in spec.children_specs]
    return SUPPORTED_NODES.get(spec.type, _NAMEDTUPLE).unflatten(children, spec.context)


def tree_leaves(tree: Any, is_leaf: Callable | None = None) -> list:
    """The leaves."""
    return tree_flatten(tree, is_leaf)[0]


def tree_structure(tree: Any, is_leaf: Callable | None = None) -> TreeSpec:
    """The form."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func: Callable, tree: Any, *rests: Any, is_leaf: Callable | None = None) -> Any:
    """``func`` of each leaf (and of the leaves at its place in ``rests``)."""
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [tree_flatten(rest, is_leaf)[0] for rest in rests]
    return tree_unflatten([func(*each) for each in zip(leaves, *others, strict=True)], spec)


def tree_map_only(kinds: Any, func: Callable, tree: Any, is_leaf: Callable | None = None) -> Any:
    """``func`` of each leaf of the given type."""
    return tree_map(lambda x: func(x) if isinstance(x, kinds) else x, tree, is_leaf=is_leaf)


def tree_any(pred: Callable, tree: Any, is_leaf: Callable | None = None) -> bool:
    """Whether ``pred`` holds for a leaf."""
    return any(map(pred, tree_leaves(tree, is_leaf)))


def tree_all(pred: Callable, tree: Any, is_leaf: Callable | None = None) -> bool:
    """Whether ``pred`` holds for every leaf."""
    return all(map(pred, tree_leaves(tree, is_leaf)))
