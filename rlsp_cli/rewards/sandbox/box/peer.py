"""Calls between two processes of which neither loads the other's objects.

Plain data goes by value, as JSON; a subclass of a plain type arrives as the plain type, without its
own `__eq__`. Anything else goes by number: the other side gets a `Handle`, whose operations run
where the object is. A list or dictionary that a call changes is changed for the caller as well.

Where Python accepts no `Handle`, the other side gets a stand-in of the right kind: a class of
errors for `except`, a class of named tuples, a coroutine for `await`. When they are sent back,
handles and stand-ins turn into the objects that they stand for.

One end, the program's, is open: it lends any object and carries out whatever is asked. The other
end, which knows the test, lends functions alone; they can be called and asked for their names.
"""

import builtins
import io
import json
import operator
import os
import sys
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from threading import RLock
from types import CoroutineType
from typing import Any

PROGRAM = "program"
"""The name of the module that a program runs as."""

_ARRAY = "numpy.ndarray"

# What a JSON list begins with where it stands for an object that is no container.
_TUPLE = "named tuple"
_TUPLE_TYPE = "type of named tuples"
_ERROR_TYPE = "type of errors"
_COROUTINE = "coroutine"

_MOST_BITS = 10_000
"""Of an integer that JSON holds in decimals; Python refuses to read 4,300 digits or more."""

# Type -> what makes one of its parts.
_CONTAINERS: dict[str, Callable[[Any], Any]] = {
    **{
        f"builtins.{kind.__name__}": kind
        for kind in (list, tuple, set, frozenset, dict, bytes, bytearray)
    },
    "collections.deque": deque,
    "collections.OrderedDict": OrderedDict,
    "collections.Counter": lambda pairs: Counter(dict(pairs)),
    "collections.defaultdict": lambda parts: defaultdict(next(parts), parts),
}
# Type -> its constructor's arguments.
_VALUES: dict[str, Callable[[Any], Sequence[Any]]] = {
    "builtins.int": lambda n: (hex(n), 16),  # above _MOST_BITS; hexadecimal has no limit
    "builtins.complex": lambda z: (z.real, z.imag),
    "builtins.range": lambda r: (r.start, r.stop, r.step),
    "fractions.Fraction": lambda f: (f.numerator, f.denominator),
    "decimal.Decimal": lambda d: (str(d),),
    "datetime.datetime": lambda t: (
        t.year,
        t.month,
        t.day,
        t.hour,
        t.minute,
        t.second,
        t.microsecond,
        t.tzinfo,
    ),
    "datetime.date": lambda t: (t.year, t.month, t.day),
    "datetime.time": lambda t: (t.hour, t.minute, t.second, t.microsecond, t.tzinfo),
    "datetime.timedelta": lambda t: (t.days, t.seconds, t.microseconds),
    "datetime.timezone": lambda zone: (zone.utcoffset(None),),
    "zoneinfo.ZoneInfo": lambda zone: (zone.key,),
    "pathlib.PosixPath": lambda path: (str(path),),
    "array.array": lambda a: (a.typecode, list(a)),
    _ARRAY: lambda a: (a.tolist(), a.dtype.str),
}
_KNOWN_ERRORS = ("builtins", "decimal", "json.decoder")
"""Modules whose errors are raised as they are; no test library's, which has one to skip a test."""

_BY_NAME = (
    *("iter", "next", "reversed", "len", "bool", "int", "float", "complex", "abs", "round"),
    *("str", "repr", "format", "hash"),
)
_BETWEEN = (
    *("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow"),
    *("and", "or", "xor", "lshift", "rshift"),
)
_COMPARING = ("eq", "ne", "lt", "le", "gt", "ge")
_ITEMS = ("getitem", "setitem", "delitem", "neg", "pos", "invert")
_NAMING = ("__name__", "__qualname__", "__doc__")
_DESCRIBING = (*_NAMING, "__annotations__", "__dict__")


def _call(function: Any, /, *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


def _name(function: Any, which: str) -> Any:
    """What functools.wraps copies from a function; nothing that leads to its code or globals."""
    if which not in _NAMING:
        raise AttributeError(which)
    return getattr(function, which)


@cache
def _event_loop() -> Any:
    """The one loop of a program's coroutines, so that they can share its locks and queues."""
    import asyncio

    return asyncio.new_event_loop()


OPERATIONS: dict[str, Callable[..., Any]] = {
    "__call__": _call,
    "__getattr__": getattr,
    "__setattr__": setattr,
    "__delattr__": delattr,
    "__instancecheck__": lambda kind, value: isinstance(value, kind),
    "__subclasscheck__": lambda kind, value: issubclass(value, kind),
    "__enter__": lambda context: context.__enter__(),
    # Without the exception, whose traceback cannot be sent.
    "__exit__": lambda context, *_: context.__exit__(None, None, None),
    "__await__": lambda coroutine: _event_loop().run_until_complete(coroutine),
    **{f"__{name}__": getattr(builtins, name) for name in _BY_NAME},
    **{
        f"__{name}__": getattr(operator, f"__{name}__")
        for name in (*_BETWEEN, *_COMPARING, *_ITEMS)
    },
}
"""What one end may ask of an object at an open end."""
_CLOSED: dict[str, Callable[..., Any]] = {"__call__": _call, "__getattr__": _name}


class UnsendableError(TypeError):
    """An object that is neither plain data nor one that the other side may hold."""


class Peer:
    """One end of a socket. `operations`, which the other end may ask for, make it an open end.

    An open end takes over standard output, so that the other end sees what a call has printed.
    """

    def __init__(
        self, channel: int, operations: Mapping[str, Callable[..., Any]] | None = None
    ) -> None:
        self._reader, self._writer = os.fdopen(channel, "rb"), os.fdopen(os.dup(channel), "wb")
        self._operations, self._is_open = operations or _CLOSED, operations is not None

        # Threads of a test may call at once; a call may lead to one back, in the same thread.
        self._asking = RLock()

        self._lent: list[Any] = []
        self._numbers: dict[int, int] = {}  # of what is lent, by its id
        self._stand_ins: dict[int, Any] = {}  # handles too, by the number of what they stand for
        self._stood_for: dict[int, int] = {}  # that number, by the id of the stand-in
        self._errors: dict[str, type[BaseException]] = {}

        self._printed = io.StringIO()
        if self._is_open:
            sys.stdout = self._printed

    def ask(self, operation: str, /, *args: Any, **kwargs: Any) -> Any:
        """What the operation returns, or raises, at the other end; EOFError when that has ended."""
        with self._asking:
            sent = {"args": self._out(list(args)), "kwargs": self._out(kwargs)}
            self._send({"ask": operation, **sent})

            # A program that was given a function may call it before it answers.
            while "ask" in (message := self._receive()):
                self._answer(message)

            sys.stdout.write(message["printed"])
            for index, value in message.get("changed", ()):
                _change((*args, *kwargs.values())[index], self._in(value))
            if "raised" in message:
                raise self._error(*message["raised"])
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
        except BaseException as error:  # SystemExit, too, is the caller's to see
            reply = {"raised": self._taken_apart(error)}

        # Arguments are copies here, so what the call did to them is sent back.
        sent = [*message["args"][1:], *(pair[-1] for pair in message["kwargs"][1:])]
        changed = []
        for index, value in enumerate((*args, *kwargs.values())):
            if _is_changeable(value) and (now := self._out(value)) != sent[index]:
                changed.append([index, now])

        self._send({**reply, "changed": changed, "printed": self._newly_printed()})

    def _newly_printed(self) -> str:
        text = self._printed.getvalue()
        self._printed.seek(0)
        self._printed.truncate()
        return text

    def _out(self, value: Any) -> Any:
        """A value as JSON."""
        if value is None or isinstance(value, float | str):
            return value
        if isinstance(value, int) and value.bit_length() < _MOST_BITS:
            return value

        if id(value) in self._stood_for:
            return ["theirs", self._stood_for[id(value)]]
        if _is_like_numpys(value):
            return self._out(value.tolist())

        name, parts = _taken_apart(value)
        return [name, *map(self._out, parts)] if name else self._lend(value)

    def _in(self, value: Any) -> Any:
        """A value from JSON."""
        if not isinstance(value, list):
            return value

        name, *parts = value
        if name in _CONTAINERS:
            return _CONTAINERS[name](map(self._in, parts))
        if name == _TUPLE:
            kind, *fields = map(self._in, parts)
            return kind._make(fields)
        if name == _ARRAY:
            return self._array(*map(self._in, parts))
        if name in _VALUES:
            module, _, kind = name.partition(".")
            return getattr(import_module(module), kind)(*map(self._in, parts))
        return self._borrowed(*value)

    def _array(self, rows: list[Any], kind: str) -> Any:
        """An array of numpy; lists at a closed end that has not loaded it."""
        # A test that does not use numpy would spend a second of its time on the import.
        if not self._is_open and "numpy" not in sys.modules:
            return rows
        return import_module("numpy").array(rows, kind)

    def _lend(self, value: Any) -> list[Any]:
        """How the other side refers to an object, and what a stand-in for it needs."""
        name = getattr(value, "__name__", None)

        # A test's `key=len` is the program's own `len`: no reason to come back for each call.
        if not self._is_open and isinstance(name, str) and getattr(builtins, name, None) is value:
            return ["builtin", name]
        if not (self._is_open or callable(value)):
            raise UnsendableError(f"{type(value).__name__} is neither plain data nor a function")

        # `_lent` keeps the object alive, so that no other one can get its id.
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self._lent)
            self._lent.append(value)
        number = self._numbers[id(value)]

        if isinstance(value, CoroutineType):
            return [_COROUTINE, number]
        if isinstance(value, type) and issubclass(value, BaseException):
            return [_ERROR_TYPE, number, _names(value)]
        if _is_named_tuple(value) and not _has_methods(value):
            return [_TUPLE_TYPE, number, value.__name__, value._fields]
        return ["mine", number]

    def _borrowed(self, how: str, key: Any, *more: Any) -> Any:
        """What `_lend` refers to."""
        if how == "theirs":
            return self._lent[key]
        # The closed end looks up no name that a program sends, which might be `exec`.
        if how == "builtin" and self._is_open:
            return getattr(builtins, key)

        if key not in self._stand_ins:
            self._stand_ins[key] = made = self._stand_in(key, how, *more)
            self._stood_for[id(made)] = key
        return self._stand_ins[key]

    def _stand_in(self, key: int, how: str, *more: Any) -> Any:
        if how == _COROUTINE:
            return self._awaiting(key)
        if how == _ERROR_TYPE:
            return self._error_type(*more)
        if how == _TUPLE_TYPE:
            return namedtuple(*more)
        return Handle(self)

    async def _awaiting(self, key: int) -> Any:
        return self.ask("__await__", self._stand_ins[key])

    def _taken_apart(self, error: BaseException) -> list[Any]:
        """An error's type, arguments and attributes; its text alone where those cannot be sent."""
        try:
            return [_names(type(error)), self._out(list(error.args)), self._out(vars(error))]
        except Exception:
            return [_names(type(error)), self._out([_text(error)]), self._out({})]

    def _error(self, names: list[list[str]], args: Any, attributes: Any) -> BaseException:
        kind, values = self._error_type(names), self._in(args)
        error = kind.__new__(kind, *values)

        # The constructor of a made-up class would ask the other end once more.
        if kind not in self._errors.values():
            with suppress(TypeError):  # its constructor takes other arguments than it has kept
                kind.__init__(error, *values)
        error.__dict__.update(self._in(attributes))
        return error

    def _error_type(self, names: list[list[str]]) -> type[BaseException]:
        """A class of errors of this side, or one made up from its name and those of its bases."""
        (module, name), *bases = names

        # The module decides, too: a program's own class may be called AssertionError.
        known = getattr(sys.modules.get(module), name, None) if module in _KNOWN_ERRORS else None
        if isinstance(known, type) and issubclass(known, BaseException):
            return known

        if name not in self._errors:
            methods = {"__init__": self._initialiser()}
            self._errors[name] = type(name, (self._error_type(bases),), methods)
        return self._errors[name]

    def _initialiser(self) -> Callable[..., None]:
        """The constructor of a made-up class: the other side makes the error, we copy it."""

        def initialise(error: BaseException, /, *args: Any, **kwargs: Any) -> None:
            if id(type(error)) in self._stood_for:
                made = self.ask("__call__", type(error), *args, **kwargs)
                error.args = made.args
                error.__dict__.update(made.__dict__)

        return initialise

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
    """An object of the other process. Its operations run there, and what they return comes back.

    It is neither computed with plain data nor compared with it: the object would see what a test
    expects, and could claim to be equal.
    """

    __slots__ = ("_peer",)

    def __init__(self, peer: Peer) -> None:
        object.__setattr__(self, "_peer", peer)

    def __getattr__(self, name: str) -> Any:
        # numpy would read whatever memory an `__array_interface__` points to.
        if name.startswith("__") and name not in _DESCRIBING:
            raise AttributeError(name)
        return _asking("__getattr__")(self, name)


def _asking(name: str) -> Callable[..., Any]:
    def method(self: Handle, /, *args: Any, **kwargs: Any) -> Any:
        peer: Peer = object.__getattribute__(self, "_peer")
        sent = () if name == "__exit__" else args  # an exception with a traceback
        return peer.ask(name, self, *sent, **kwargs)

    return method


def _asking_among_handles(name: str) -> Callable[..., Any]:
    ask = _asking(name)

    def method(self: Handle, other: Any) -> Any:
        return ask(self, other) if isinstance(other, Handle) else NotImplemented

    return method


# Python looks these methods up in the class, so each has to be there by name.
for _operation in OPERATIONS.keys() - vars(Handle).keys() - {"__await__"}:
    _between = _operation.strip("_") in (*_BETWEEN, *_COMPARING)
    setattr(
        Handle, _operation, _asking_among_handles(_operation) if _between else _asking(_operation)
    )


def _doc(handle: Handle) -> Any:
    """The text of the object, where Python would find that of the class."""
    return _asking("__getattr__")(handle, "__doc__")


Handle.__doc__ = property(_doc)  # type: ignore[assignment]


def _taken_apart(value: Any) -> tuple[str, Any]:
    """The name of a plain type and the value's parts; an empty name when it is not plain."""
    if isinstance(value, list | dict | set | deque | tuple) and _has_methods(type(value)):
        return "", ()
    if _is_named_tuple(type(value)):
        return _TUPLE, (type(value), *value)

    # The nearest plain type among its bases: a subclass of dict arrives as a dict.
    for kind in type(value).__mro__:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name in _VALUES:
            return name, _VALUES[name](value)
        if name in _CONTAINERS:
            parts = value.items() if isinstance(value, dict) else value
            if isinstance(value, defaultdict):
                parts = (value.default_factory, *parts)
            return name, parts

    return "", ()


def _has_methods(kind: type) -> bool:
    """Whether the program gave a container methods of its own, such as a cache made of a dict."""
    own = {name for base in kind.__mro__ if base.__module__ == PROGRAM for name in vars(base)}
    return any(not name.startswith("_") for name in own.difference(getattr(kind, "_fields", ())))


def _is_named_tuple(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def _is_like_numpys(value: Any) -> bool:
    """Whether it is a numpy scalar, a tensor or a column: a library's class with a `tolist`."""
    kind = next((kind for kind in type(value).__mro__ if "tolist" in vars(kind)), None)
    if kind is None or kind.__module__ == PROGRAM:
        return False

    # Arrays keep their type on the way.
    return kind.__name__ not in ("ndarray", "array")


def _is_changeable(value: Any) -> bool:
    plain = (list, dict, set, bytearray, deque, OrderedDict, Counter, defaultdict)
    return type(value) in plain or _is_array(value)


def _is_array(value: Any) -> bool:
    return "numpy" in sys.modules and type(value) is sys.modules["numpy"].ndarray


def _change(target: Any, value: Any) -> None:
    """Give a container the contents of another of its type."""
    if not _is_changeable(target) or type(value) is not type(target):
        return
    if _is_array(target):
        target[...] = value
        return

    target.clear()
    if isinstance(target, dict | set):
        target.update(value)
    else:
        target.extend(value)


def _names(kind: type) -> list[list[str]]:
    """Module and name of a class and of its bases, the nearest first."""
    return [[base.__module__, base.__qualname__] for base in kind.__mro__]


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""
