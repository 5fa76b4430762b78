"""Calls between two processes of which neither loads the other's objects.

Plain data goes by value, as JSON; a subclass of a plain type arrives as the plain type, so that its own `__eq__` stays
behind. Anything else goes by number: the other side gets a `Handle`, whose operations are carried out where the object
is. A list or dictionary that a call changes is changed for the caller as well.

One end is open: it lends any object and does whatever is asked. The other end, which has something to keep from it,
lends functions alone, and lets it do nothing but call them.
"""

import builtins
import json
import operator
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

PROGRAM = "program"
"""What the module is called in which a program runs."""

_CONTAINERS: dict[str, type] = {
    f"{kind.__module__}.{kind.__name__}": kind for kind in (list, tuple, set, frozenset, dict, bytes, bytearray, deque)
}
_VALUES: dict[str, Callable[[Any], Sequence[Any]]] = {  # type -> its constructor's arguments
    "builtins.int": lambda n: (hex(n), 16),  # of so many digits that Python writes no decimals
    "builtins.complex": lambda z: (z.real, z.imag),
    "builtins.range": lambda r: (r.start, r.stop, r.step),
    "fractions.Fraction": lambda f: (f.numerator, f.denominator),
    "decimal.Decimal": lambda d: (str(d),),
    "datetime.datetime": lambda t: (t.year, t.month, t.day, t.hour, t.minute, t.second, t.microsecond),
    "datetime.date": lambda t: (t.year, t.month, t.day),
    "datetime.time": lambda t: (t.hour, t.minute, t.second, t.microsecond),
    "datetime.timedelta": lambda t: (t.days, t.seconds, t.microseconds),
}
_BY_NAME = ("iter", "next", "len", "bool", "int", "float", "complex", "str", "repr", "hash", "abs", "round")
_BETWEEN = ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "lshift", "rshift")
_COMPARING = ("eq", "ne", "lt", "le", "gt", "ge")
_ITEMS = ("getitem", "setitem", "delitem", "neg", "pos", "invert")
_DESCRIBING = ("__name__", "__qualname__", "__doc__", "__annotations__", "__dict__")


def _call(function: Any, *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "__call__": _call,
    "__getattr__": getattr,
    "__setattr__": setattr,
    "__delattr__": delattr,
    "__instancecheck__": lambda kind, value: isinstance(value, kind),
    "__enter__": lambda context: context.__enter__(),
    "__exit__": lambda context, *_: context.__exit__(None, None, None),  # an exception is no plain data
    **{f"__{name}__": getattr(builtins, name) for name in _BY_NAME},
    **{f"__{name}__": getattr(operator, f"__{name}__") for name in (*_BETWEEN, *_COMPARING, *_ITEMS)},
}
"""What can be asked of an object on the other side."""


class UnsendableError(TypeError):
    """An object that is no plain data and that the other side may not hold."""


class RemoteError(Exception):
    """An exception of a type that this side does not know."""


class Peer:
    """One end of a socket; `operations` are what the other end may ask for beside a call, and make it an open end."""

    def __init__(self, channel: int, operations: Mapping[str, Callable[..., Any]] | None = None) -> None:
        self._reader, self._writer = os.fdopen(channel, "rb"), os.fdopen(os.dup(channel), "wb")
        self._operations, self._is_open = operations or {"__call__": _call}, operations is not None
        self._lent: list[Any] = []

    def ask(self, operation: str, *args: Any, **kwargs: Any) -> Any:
        """What the other end's operation returns; its exception as the nearest built-in one; EOFError when it ended."""
        self._send({"ask": operation, "args": self._out(list(args)), "kwargs": self._out(kwargs)})
        while "ask" in (message := self._receive()):
            self._answer(message)

        for index, value in message.get("changed", ()):
            _change((*args, *kwargs.values())[index], self._in(value))
        if "raised" in message:
            raise _exception(*message["raised"])
        return self._in(message["value"])

    def serve(self) -> None:
        """Answer until the other end closes."""
        try:
            while True:
                self._answer(self._receive())
        except EOFError:
            return

    def _answer(self, message: dict[str, Any]) -> None:
        args, kwargs = self._in(message["args"]), self._in(message["kwargs"])
        try:
            reply = {"value": self._out(self._operations[message["ask"]](*args, **kwargs))}
        except BaseException as error:
            kind = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
            reply = {"raised": [kind.__name__, _text(error)]}

        sent = [*message["args"][1:], *(pair[-1] for pair in message["kwargs"][1:])]
        now = ((i, self._out(value)) for i, value in enumerate((*args, *kwargs.values())) if _is_changeable(value))
        reply["changed"] = [[i, value] for i, value in now if value != sent[i]]
        self._send(reply)

    def _out(self, value: Any) -> Any:
        """A value as JSON."""
        if hasattr(type(value), "tolist"):  # numpy's numbers and arrays
            value = value.tolist()
        if value is None or isinstance(value, float | str) or (isinstance(value, int) and value.bit_length() < 10_000):
            return value
        if isinstance(value, Handle):
            return ["theirs", object.__getattribute__(value, "_number")]

        name, parts = _taken_apart(value)
        if name in _CONTAINERS:
            return [name, *map(self._out, parts)]
        return [name, *parts] if name else self._lend(value)

    def _in(self, value: Any) -> Any:
        """A value from JSON."""
        if not isinstance(value, list):
            return value
        name, *parts = value
        if name in _CONTAINERS:
            return _CONTAINERS[name](map(self._in, parts))
        if name in _VALUES:
            module, _, kind = name.partition(".")
            return getattr(import_module(module), kind)(*parts)
        return self._held(name, parts[0])

    def _lend(self, value: Any) -> Any:
        name = getattr(value, "__name__", None)
        if not self._is_open and isinstance(name, str) and getattr(builtins, name, None) is value:
            return ["builtin", name]
        if not (self._is_open or callable(value)):
            raise UnsendableError(f"{type(value).__name__} is neither plain data nor a function")
        self._lent.append(value)
        return ["mine", len(self._lent) - 1]

    def _held(self, whose: str, key: Any) -> Any:
        if whose == "theirs":
            return self._lent[key]
        if whose == "mine":
            return Handle(self, key)
        if whose == "builtin" and self._is_open:
            return getattr(builtins, key)
        raise ValueError(f"no such kind of value: {whose}")

    def _send(self, message: dict[str, Any]) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")
        self._writer.flush()

    def _receive(self) -> dict[str, Any]:
        line = self._reader.readline()
        if not line.endswith(b"\n"):
            raise EOFError("the other process has ended")
        message: dict[str, Any] = json.loads(line)
        return message


class Handle:
    """An object of the other process. What it does is done there; what it returns comes back.

    Between it and plain data nothing is computed or compared: the object would see what it is compared with, and could
    say that it is equal.
    """

    __slots__ = ("_number", "_peer")

    def __init__(self, peer: Peer, number: int) -> None:
        object.__setattr__(self, "_peer", peer)
        object.__setattr__(self, "_number", number)

    def __getattr__(self, name: str) -> Any:
        if (
            name.startswith("__") and name not in _DESCRIBING
        ):  # numpy would read memory where `__array_interface__` says
            raise AttributeError(name)
        return _asking("__getattr__")(self, name)


def _asking(name: str) -> Callable[..., Any]:
    def method(self: Handle, *args: Any, **kwargs: Any) -> Any:
        peer: Peer = object.__getattribute__(self, "_peer")
        return peer.ask(name, self, *(() if name == "__exit__" else args), **kwargs)

    return method


def _asking_among_handles(name: str) -> Callable[..., Any]:
    ask = _asking(name)

    def method(self: Handle, other: Any) -> Any:
        return ask(self, other) if isinstance(other, Handle) else NotImplemented

    return method


for _name in OPERATIONS.keys() - vars(Handle).keys():
    _between = _name.strip("_") in (*_BETWEEN, *_COMPARING)
    setattr(Handle, _name, _asking_among_handles(_name) if _between else _asking(_name))


def _taken_apart(value: Any) -> tuple[str, Any]:
    """The name of a plain type and what makes the value up; an empty name when it is not plain."""
    if isinstance(value, list | dict | set | deque) and _has_methods(type(value)):
        return "", ()
    for kind in type(value).__mro__:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name in _CONTAINERS:
            return name, value.items() if isinstance(value, dict) else value
        if name in _VALUES:
            return name, _VALUES[name](value)
    return "", ()


def _has_methods(kind: type) -> bool:
    """Whether the program made more of a container than a container, such as a cache out of a dictionary."""
    own = [vars(base) for base in kind.__mro__ if base.__module__ == PROGRAM]
    return any(not name.startswith("_") for names in own for name in names)


def _is_changeable(value: Any) -> bool:
    return type(value) in (list, dict, set, bytearray, deque)


def _change(target: Any, value: Any) -> None:
    """Give a container the contents of another of its type."""
    if _is_changeable(target) and type(value) is type(target):
        target.clear()
        (target.update if isinstance(target, dict | set) else target.extend)(value)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""


def _exception(name: str, text: str) -> Exception:
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, UnicodeError):
        return kind(text)
    return RemoteError(f"{name}: {text}")
