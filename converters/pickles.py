"""A pickle reader that can build tensors' descriptions and plain containers, and nothing else.

It interprets pickle opcodes itself instead of restricting ``pickle.Unpickler``, because that one
allocates what a file merely claims (memo indices, frames), recurses in C when hashing, and copies
every tensor's bytes. Here a name that is not in the caller's table raises before anything is
called, dict keys are scalars, long byte strings stay in the file as :class:`Span`, and the number
of steps is bounded. Opcodes: Python's ``pickletools`` documentation; protocols 2 to 5 without
extension registry, instances and out-of-band buffers, which checkpoints do not use.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hfpaddle.converters.mapped import MappedFile, show
from hfpaddle.core.errors import CheckpointError, UnsafeCheckpointError

_MAX_STEPS = 4_000_000  # about 30 a tensor; bounds time, and memory at some 100 bytes a step
_SHORT = 4096  # a longer string is no name, and stays in the file
_SCALARS = (str, int, float, bool, bytes, type(None))


@dataclass(frozen=True)
class Span:
    """A string that stays in its file.

    Attributes:
        start, stop: byte range in ``file``.
        encoding: ``None`` for bytes, ``"utf-8"`` for text.
    """

    file: MappedFile
    start: int
    stop: int
    encoding: str | None = None


@dataclass(frozen=True)
class Call:
    """A name of the table that the pickle may call: ``function(*arguments)``."""

    function: Callable[..., Any]


class Buildable:
    """Base of objects that take state. Here: ignores it, as attributes do not change numbers."""

    def build(self, state: Any) -> None:
        """Receive what ``__setstate__`` would."""


class Opaque(Buildable):
    """A value that is allowed and not needed."""


class _Mark:
    pass


_MARK = _Mark()


class PickleReader:
    """Reads one pickle of ``file`` from ``start`` on, not beyond ``stop``.

    Args:
        names: ``"module.name"`` -> :class:`Call`, or an inert value.
        persistent: what a persistent id becomes; ``None`` if the format has none.
    """

    def __init__(
        self,
        file: MappedFile,
        start: int,
        stop: int,
        names: Mapping[str, Any],
        persistent: Callable[[Any], Any] | None = None,
    ):
        self.file, self.position, self.stop = file, start, stop
        self.names, self.persistent = names, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.steps = 0

    def load(self) -> Any:
        """The object. ``position`` is then the byte after it.

        Raises:
            UnsafeCheckpointError: the pickle names something outside the table.
            CheckpointError: it is damaged, or uses what checkpoints do not use.
        """
        try:
            while True:
                self.charge(1)
                code = self.take(1)[0]
                if code == 0x2E:  # STOP
                    return self.stack.pop()
                step = _STEPS.get(code)
                if step is None:
                    raise CheckpointError(
                        f"{self.file.path.name}: pickle opcode 0x{code:02x} at byte "
                        f"{self.position - 1} is not one that checkpoints use. The file is damaged "
                        f"or is no checkpoint."
                    )
                step(self)
        except CheckpointError as error:
            if self.file.path.name in str(error):
                raise
            raise type(error)(f"{self.file.path.name}: {error}") from error
        except (LookupError, TypeError, ValueError, ArithmeticError, struct.error) as error:
            raise CheckpointError(
                f"{self.file.path.name}: damaged pickle at byte {self.position} "
                f"({type(error).__name__}). Fetch the file again."
            ) from error

    def charge(self, steps: int) -> None:
        """Count work, so that no small file asks for much time or memory."""
        self.steps += steps
        if self.steps > _MAX_STEPS:
            raise CheckpointError(
                f"{self.file.path.name}: its pickle takes more than {_MAX_STEPS} steps, which a "
                f"checkpoint of tensors does not. Save its weights alone."
            )

    def skip(self, count: int) -> int:
        """Step over ``count`` bytes and return where they begin."""
        start, end = self.position, self.position + count
        if end > self.stop:
            raise CheckpointError(
                f"{self.file.path.name}: pickle needs {count} bytes at {start}, but ends at "
                f"{self.stop}: the file is truncated or damaged. Fetch it again."
            )
        self.position = end
        return start

    def take(self, count: int) -> bytes:
        start = self.skip(count)
        return self.file.bytes(start, start + count)

    def line(self) -> str:
        """Text up to the next newline, at most 512 bytes."""
        raw = self.file.bytes(self.position, min(self.position + 512, self.stop))
        end = raw.index(b"\n")
        self.position += end + 1
        return raw[:end].decode("utf-8")

    def uint(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def string(self, size: int, encoding: str | None) -> None:
        """Push a string of ``size`` bytes: bytes always as a span, text if it is long."""
        start = self.skip(size)
        if encoding is None or size > _SHORT:
            kept = None if encoding == "latin-1" else encoding
            self.stack.append(Span(self.file, start, start + size, kept))
        else:
            raw = self.file.bytes(start, start + size)
            self.stack.append(
                raw.decode(encoding, "surrogatepass" if encoding == "utf-8" else "strict")
            )

    def pop_mark(self) -> list[Any]:
        stack = self.stack
        at = len(stack) - 1
        while at >= 0 and stack[at] is not _MARK:
            at -= 1
        if at < 0:
            raise ValueError("no mark")
        items = stack[at + 1 :]
        del stack[at:]
        return items

    def resolve(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("a global's name is no string")
        full = f"{'builtins' if module == '__builtin__' else module}.{name}"
        if full not in self.names:
            raise UnsafeCheckpointError(
                f"{self.file.path.name} refers to {show(full)}, which is neither a tensor nor a "
                f"plain container: loading it could run code. Convert the file to safetensors "
                f"where you trust it, or save the state dict alone."
            )
        self.stack.append(self.names[full])

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Call) or not isinstance(arguments, tuple):
            raise TypeError("call of something that is no function")
        for argument in arguments:  # one container may be fetched and converted many times
            if isinstance(argument, (list, tuple, dict)):
                self.charge(8 * len(argument))
            elif isinstance(argument, str):
                self.charge(len(argument) // 16)
        self.stack.append(function.function(*arguments))

    def build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Buildable):
            target.build(state)
        elif not isinstance(target, dict):  # an OrderedDict's state is its attributes: _metadata
            raise TypeError("state for something that takes none")

    def persist(self) -> None:
        if self.persistent is None:
            raise ValueError("persistent id in a format that has none")
        self.stack.append(self.persistent(self.stack.pop()))

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise TypeError("items for something that is no dict")
        target.update(pairs_dict(list(zip(items[::2], items[1::2], strict=True))))

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise TypeError("items for something that is no list")
        target.extend(items)

    def tuple(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError("stack")
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        self.stack.append(items)


def pairs_dict(pairs: Any = ()) -> dict:
    """A dict of ``(key, value)`` pairs whose keys are scalars: hashing others may recurse."""
    result = {}
    for key, value in pairs.items() if isinstance(pairs, dict) else pairs:
        if not isinstance(key, _SCALARS):
            raise TypeError("dict key is no scalar")
        result[key] = value
    return result


def scalar_set(items: Any = ()) -> set:
    """A set of scalars."""
    if not isinstance(items, (list, tuple)) or not all(isinstance(i, _SCALARS) for i in items):
        raise TypeError("set item is no scalar")
    return set(items)


def no_bytes() -> bytes:
    """``bytes()``: protocol 2 writes an empty byte string as this call."""
    return b""


def encoded(text: Any, encoding: Any = "latin1") -> Any:
    """``_codecs.encode`` of latin-1 text, which is how protocol 2 writes bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError("encoding")
    if isinstance(text, Span):
        return text
    if not isinstance(text, str):
        raise TypeError("text")
    return text.encode("latin-1")


def _long(reader: PickleReader, size: int) -> None:
    if size > 1024:
        raise ValueError("long integer")
    reader.stack.append(int.from_bytes(reader.take(size), "little", signed=True))


def _memoize(reader: PickleReader, key: int) -> None:
    reader.memo[key] = reader.stack[-1]


def _add_items(reader: PickleReader) -> None:
    items = reader.pop_mark()
    if type(reader.stack[-1]) is not set:
        raise TypeError("items for something that is no set")
    reader.stack[-1].update(scalar_set(items))


def _signed(reader: PickleReader) -> int:
    return int.from_bytes(reader.take(4), "little", signed=True)


def _stack_global(reader: PickleReader) -> None:
    name, module = reader.stack.pop(), reader.stack.pop()
    reader.resolve(module, name)


def _pop_one_item(reader: PickleReader) -> None:
    value, key = reader.stack.pop(), reader.stack.pop()
    reader.set_items([key, value])


_STEPS: dict[int, Callable[[PickleReader], Any]] = {
    0x80: lambda r: r.take(1),  # PROTO
    0x95: lambda r: r.take(8),  # FRAME: only a hint for buffering
    ord("("): lambda r: r.stack.append(_MARK),
    ord("0"): lambda r: r.stack.pop(),
    ord("1"): lambda r: r.pop_mark(),
    ord("2"): lambda r: r.stack.append(r.stack[-1]),
    ord("N"): lambda r: r.stack.append(None),
    0x88: lambda r: r.stack.append(True),
    0x89: lambda r: r.stack.append(False),
    ord("J"): lambda r: r.stack.append(_signed(r)),
    ord("K"): lambda r: r.stack.append(r.uint(1)),
    ord("M"): lambda r: r.stack.append(r.uint(2)),
    0x8A: lambda r: _long(r, r.uint(1)),
    0x8B: lambda r: _long(r, r.uint(4)),
    ord("G"): lambda r: r.stack.append(struct.unpack(">d", r.take(8))[0]),
    ord("C"): lambda r: r.string(r.uint(1), None),
    ord("B"): lambda r: r.string(r.uint(4), None),
    0x8E: lambda r: r.string(r.uint(8), None),
    0x96: lambda r: r.string(r.uint(8), None),  # BYTEARRAY8
    ord("U"): lambda r: r.string(r.uint(1), "latin-1"),  # Python 2 strings
    ord("T"): lambda r: r.string(r.uint(4), "latin-1"),
    ord("X"): lambda r: r.string(r.uint(4), "utf-8"),
    0x8C: lambda r: r.string(r.uint(1), "utf-8"),
    0x8D: lambda r: r.string(r.uint(8), "utf-8"),
    ord("]"): lambda r: r.stack.append([]),
    ord("l"): lambda r: r.stack.append(r.pop_mark()),
    ord("a"): lambda r: r.append([r.stack.pop()]),
    ord("e"): lambda r: r.append(r.pop_mark()),
    ord(")"): lambda r: r.stack.append(()),
    ord("t"): lambda r: r.stack.append(tuple(r.pop_mark())),
    0x85: lambda r: r.tuple(1),
    0x86: lambda r: r.tuple(2),
    0x87: lambda r: r.tuple(3),
    ord("}"): lambda r: r.stack.append({}),
    ord("s"): _pop_one_item,
    ord("u"): lambda r: r.set_items(r.pop_mark()),
    0x8F: lambda r: r.stack.append(set()),
    0x90: _add_items,
    ord("h"): lambda r: r.stack.append(r.memo[r.uint(1)]),
    ord("j"): lambda r: r.stack.append(r.memo[r.uint(4)]),
    ord("q"): lambda r: _memoize(r, r.uint(1)),
    ord("r"): lambda r: _memoize(r, r.uint(4)),
    0x94: lambda r: _memoize(r, len(r.memo)),
    ord("c"): lambda r: r.resolve(r.line(), r.line()),
    0x93: _stack_global,
    ord("R"): lambda r: r.call(),
    0x81: lambda r: r.call(),  # NEWOBJ: class and arguments; the table decides what that does
    ord("b"): lambda r: r.build(),
    ord("Q"): lambda r: r.persist(),
}
