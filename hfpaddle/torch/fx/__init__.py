"""``torch.fx``: there are no graphs to look at."""

from hfpaddle.torch._missing import decorator as wrap
from hfpaddle.torch._missing import missing

__emulated__ = True

symbolic_trace = missing("fx.symbolic_trace", "Call the module as it is.")


class Proxy:
    """No value is one."""


class Graph:
    """No graph is made."""


class GraphModule:
    """No module is one."""


class Node:
    """No graph has one."""


__all__ = ["Graph", "GraphModule", "Node", "Proxy", "symbolic_trace", "wrap"]
