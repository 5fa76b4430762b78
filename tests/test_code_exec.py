"""`code_exec`: the program that is found in a response, the tests that are run on it, and the data between the two."""

import json
import subprocess
import sys
from typing import Any

import pytest

from rlsp_cli.backends.doctor import examine
from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.rewards.fences import fenced_blocks
from rlsp_cli.rewards.registry import get_plugin, resolve_options
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.sandbox import Assertion, Exchange, Limits, run_tests, strongest_level
from rlsp_cli.rewards.sandbox.calls import allowed_calls
from rlsp_cli.rewards.unit_tests import find_program, read_tests
from rlsp_cli.runs.manifest import manifest

pytestmark = pytest.mark.integration  # each program runs in a sandbox

CODE = "def add(a, b):\n    return a + b"
ADD = f"```python\n{CODE}\n```"
TESTS = json.dumps(["assert add(1, 2) == 3", "assert add('a', 'b') == 'ab'"])


def verdict(
    response: str, reference: str | None, metadata: dict[str, Any] | None = None, **options: Any
) -> Any:
    function = get_plugin("verifier", "code_exec").function
    found = function(
        Sample("", response, reference, metadata=metadata or {}), **{"seconds": 30, **options}
    )
    return None if found is None else float(found.correct)


def passes(program: str, *tests: str) -> bool:
    """Whether it passes all of them, in one sandbox."""
    return all(run_tests(program, read_tests(json.dumps(tests)), Limits(30.0)))


@pytest.mark.parametrize(
    ("program", "right"),
    [
        (CODE, 1.0),
        ("def add(a, b):\n    return 3", 0.5),
        ("import os; os._exit(0)", 0.0),
        ("raise SystemExit(0)", 0.0),
        ("def add(a, b):\n    while True: pass", 0.0),
        ("def add(a, b):\n    return 'x' * 2**40", 0.0),
        ("import socket\ndef add(a, b):\n    socket.socket()\n    return a + b", 0.0),
        ("import subprocess\ndef add(a, b):\n    subprocess.run(['true'])\n    return a + b", 0.0),
        ("import os\ndef add(a, b):\n    os.kill(os.getppid(), 9)\n    return a + b", 0.0),
    ],
)
def test_the_verdict_is_the_share_of_tests_that_a_program_passes_shut_in(
    program: str, right: float
) -> None:
    seconds = 1.0 if "while True" in program else 30.0
    assert (
        verdict(f"```python\n{program}\n```", TESTS, partial=True, seconds=seconds, memory_mb=256)
        == right
    )


def test_tests_are_code_or_pairs_of_input_and_output() -> None:
    pairs = json.dumps(
        [
            {"input": "1 2", "output": "3\n"},
            {"input": "4 5", "output": 9},
            {"input": [1, 1], "output": 2},
        ]
    )
    assert (
        verdict("```python\nimport sys\nprint(sum(map(int, sys.stdin.read().split())))\n```", pairs)
        == 1.0
    )
    assert verdict("```python\nprint(3)\n```", pairs) == 0.0
    assert verdict(ADD, "assert add(1, 1) == 2\nassert add(0, 0) == 0") == 1.0
    assert verdict("no block", TESTS) == 0.0
    assert verdict(ADD, "") is None and verdict(ADD, "[]") is None


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("3", "test 1 of the reference is '3', expected code or"),
        ("null", "test 1 of the reference is 'None', expected code or"),
        ("1 + 1", "test 1 of the reference calls nothing of the program: '1 + 1'"),
        ('["assert 1 == 1"]', "calls nothing of the program"),
        ('["assert add(1, 1) == 2", 3]', "test 2 of the reference is '3', expected code or"),
        ('[{"input": "1"}]', "expected code or"),
        ('[{"input": "1", "output": null}]', "has 'None' as input or output, expected text"),
        ("assert add(1, 1 == 2", "test 1 of the reference is no Python"),
        ("assert add(object(), 1) == 2", "object is neither plain data nor a function"),
        ("def helper():\n    assert add(1, 1) == 2", "calls nothing of the program"),
        ("async def test_add():\n    assert add(1, 1) == 2", "calls nothing of the program"),
        (
            "import no_such_module\nassert add(1, 1) == 2",
            "imports what is not there: No module named 'no_such_module'",
        ),
    ],
)
def test_a_reference_that_cannot_judge_is_an_error_and_no_verdict(
    reference: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=r"reference|test") as error:
        verdict(ADD, reference)
    assert reason in str(error.value)


@pytest.mark.parametrize(
    "test",
    [
        "def test_add():\n    {}",
        "def test_one():\n    assert add\ndef test_two():\n    {}\ntest_one()",
        "class TestAdd:\n    def test_add(self):\n        {}",
        "import unittest\nclass T(unittest.TestCase):\n    def test_add(self):\n        {}",
        "from unittest import TestCase\nclass T(TestCase):\n    def setUp(self): pass\n    def test_add(self): {}",
        "import unittest\nclass T(unittest.TestCase):\n    def test_add(self): {}\nunittest.main(exit=False)",
        "import unittest\nclass T(unittest.TestCase):\n    def test_add(self): {}\nif __name__ == '__main__':\n"
        "    unittest.main()",
        "if __name__ == '__main__':\n    {}",
        "def check(f):\n    {}\nif __name__ == '__main__':\n    check(add)",
    ],
)
def test_what_pytest_or_unittest_would_call_is_called(test: str) -> None:
    """Tests in functions that nothing calls would pass any program."""
    test = test.replace("{}", "assert add(1, 2) == 3")
    assert verdict(ADD, test) == 1.0
    assert verdict("```python\ndef add(a, b):\n    return 7\n```", test) == 0.0


@pytest.mark.parametrize(
    "response",
    [
        ADD,
        f"```python3\n{CODE}\n```",
        f"``` python\n{CODE}\n```",
        f"```Python\n{CODE}\n```",
        f'```python title="a.py"\n{CODE}\n```',
        f"```{{.python .numberLines}}\n{CODE}\n```",
        f"```py\n{CODE}\n```",
        f"```\n{CODE}\n```",
        f"~~~python\n{CODE}\n~~~",
        f"~~~~\n{CODE}\n~~~~",
        f"````python\n{CODE}\n````",
        f"```python\n{CODE}",
        ADD.replace("\n", "\r\n"),
        f"Here: ```python\n{CODE}```",
        "1. First:\n   ```python\n"
        + "\n".join(f"   {line}" for line in CODE.split("\n"))
        + "\n   ```\n2. Done.",
        "> ```python\n" + "\n".join(f"> {line}" for line in CODE.split("\n")) + "\n> ```",
        f"<answer>\n{ADD}\n</answer>",
        f"{ADD}\n\nExample:\n```python\nprint(add(1, 2))\n```\nOutput:\n```\n3\n```",
        f"```python\nprint(input())\n```\n{ADD}\n```text\n3\n```\n```bash\nadd = 1\n```",
        f"First try:\n```python\ndef add(a, b): return 7\n```\nBetter:\n{ADD}",
        "```python\ndef add(a, b):\n    '''Add.\n\n    ```\n    >>> add(1, 2)\n    ```\n    '''\n    return a + b\n```",
        "```python\nadd = lambda a, b: a + b\n```\n```python\nadd(1, 1) == 2\n```",
        f"<think>```python\ndef add(a, b): return 7\n```</think>{ADD}",
        f"```python\n{CODE}\nif __name__ == '__main__':\n    print(add(int(input()), int(input())))\n```",
        f"```python\nfrom __future__ import annotations\n{CODE}\n```",
        f"```python\n{CODE}\nHERE = __file__\n```",
        f"```ipython3\n{CODE}\n```\n```pycon\n>>> add = 7\n```",
        f"```python_code\n{CODE}\n```",
        # no fence
        CODE,
        f"<think>Easy.</think><answer>\n{CODE}\n</answer>",
        # what it needs stands in blocks of its own
        "```python\nimport operator as op\n```\n```python\ndef add(a, b):\n    return op.add(a, b)\n```",
        "```python\ndef add(a, b):\n    return plus(a, b)\n```\n```python\ndef plus(a, b):\n    return a + b\n```",
        "```python\ndef one(a): return a\n```\n```python\ndef plus(a, b): return one(a) + b\n```\n"
        "```python\ndef plus(a, b): return one(a + b)\n```\n```python\ndef add(a, b): return plus(a, b)\n```",
        # and examples and earlier tries stay out
        f"```python\nimport math\nprint(add(1))\n```\n```python\n{CODE}  # no math\n```",
        f"```python\ndef total(a, b): return add\nadd(1)\n```\n```python\n{CODE}  # the total\n```",
    ],
)
def test_the_program_is_the_last_block_that_defines_what_the_tests_call(response: str) -> None:
    assert verdict(response, TESTS) == 1.0


def test_functions_that_tests_call_may_stand_in_blocks_of_their_own() -> None:
    response = "```python\ndef encode(s): return s[::-1]\n```\n```python\ndef decode(s): return s[::-1]\n```"
    assert verdict(response, "assert decode(encode('ab')) == 'ab' and encode('ab') == 'ba'") == 1.0


def test_the_last_labelled_block_counts_where_tests_give_input_and_output() -> None:
    exchange = [Exchange("", "5")]
    assert find_program("```python\nprint(5)\n```\nOutput:\n```\n5\n```", exchange) == "print(5)"
    assert find_program("```\nprint(4)\n```\n```\nprint(5)\n```", exchange) == "print(5)"
    assert find_program("```bash\nls\n```", exchange) is None


def test_a_block_ends_at_its_own_fence_and_keeps_its_lines() -> None:
    text = (
        "````md\n```python\nx\n```\n````\n~~~\n```\n~~~\n```\na\x0cb\u2028c\n```\n```sql\nselect 1"
    )
    assert [*fenced_blocks(text)] == [
        ("md", "```python\nx\n```"),
        ("", "```"),
        ("", "a\x0cb\u2028c"),
        ("sql", "select 1"),
    ]


def test_fences_are_read_in_a_time_that_grows_with_the_text() -> None:
    for piece in ("```", "```\n", "~~~ `\n", "` `` ", "> > ", "```python\n", "\t"):
        fenced_blocks(piece * 50_000)
    fenced_blocks(f"```{' ' * 50_000}`")


@pytest.mark.parametrize(
    ("test", "names"),
    [
        ("assert add(1, 2) == 3", ("add",)),
        ("assert abs(add(1, 2) - 3) < 1e-6", ("add",)),
        ("assert math.isclose(add(1, 2), np.pi)", ("add",)),
        ("assert sum(10, 15) == 6", ("sum",)),
        ("import math\ndef check(f):\n    x = 1\n    assert f(x) == math.pi\ncheck(add)", ("add",)),
        ("root = Node(1)\nassert max_height(root) == 1", ("Node", "max_height")),
        ("assert [add(x, y) for x, y in ((1, 2),)] == [3]", ("add",)),
        ("class T:\n    def test(self):\n        assert add(1, 2) == 3\nT().test()", ("add",)),
        ("assert bisect([1], 1) == 1", ("bisect",)),
        ("assert numbers(1) == array(2) == math.pi", ("array", "numbers")),
    ],
)
def test_a_test_takes_from_the_program_only_what_nobody_else_defines(
    test: str, names: tuple[str, ...]
) -> None:
    (found,) = read_tests(test)
    assert isinstance(found, Assertion) and found.names == names


def test_a_program_cannot_replace_what_a_test_compares_with() -> None:
    assert not passes(
        "abs = lambda x: 0\ndef add(a, b): return 7", "assert abs(add(1, 2) - 3) < 1e-6"
    )
    assert not passes(
        "class math: isclose = max\ndef add(a, b): return 7", "assert math.isclose(add(1, 2), 3)"
    )
    assert passes("def sum(a, b): return 6", "assert sum(10, 15) == 6")


def test_plain_data_of_any_type_comes_back_as_it_is() -> None:
    values = [
        "None",
        "True",
        "1",
        "7**9999",
        "-2.5",
        "float('inf')",
        "2j",
        "'a\\ud800'",
        "b'\\0'",
        "range(3)",
    ]
    values += ["[1, [2]]", "(1,)", "{1, 2}", "{(1, 2): [3]}"]
    values += [
        "frozenset({1})",
        "bytearray(b'x')",
        "collections.deque([1])",
        "fractions.Fraction(1, 3)",
    ]
    values += [
        "decimal.Decimal('1.10')",
        "datetime.datetime(2026, 1, 2, 3)",
        "datetime.timedelta(1)",
    ]
    values += [
        "datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))"
    ]
    values += ["pathlib.Path('/a/b')", "array.array('d', [1.5])"]
    values += [
        "collections.Counter('aab')",
        "collections.OrderedDict(b=1, a=2)",
        "collections.defaultdict(int, a=1)",
    ]
    modules = "array, collections, fractions, decimal, datetime, pathlib"
    program = f"import {modules}\ndef same(x): return x\ndef value(n): return VALUES[n]\n"
    tests = [
        f"v = {value}\nassert same(v) == v == value({n}) and type(value({n})) is type(v)"
        for n, value in enumerate(values)
    ]
    assert passes(f"{program}VALUES = [{', '.join(values)}]", *tests)


def test_subclasses_of_plain_types_and_numpys_values_are_plain_to_a_test() -> None:
    program = """
import enum, numpy as np
from collections import Counter, OrderedDict, defaultdict, namedtuple
Pair = namedtuple("Pair", "x y")
class Colour(enum.IntEnum): RED = 1
def counts(): return Counter("aab")
def ordered(): return OrderedDict(a=1)
def default(): return defaultdict(list, a=[1])
def pair(): return Pair(1, 2)
def red(): return Colour.RED
def total(): return np.sum(np.array([1, 2]))
def array(): return np.array([[1, 2]])
def values(): return {"a": 1}.values()
"""
    assert passes(
        program,
        "assert counts() == {'a': 2, 'b': 1} and ordered() == {'a': 1} and default() == {'a': [1]}",
        "assert counts()['z'] == 0 and counts().most_common(1) == [('a', 2)] and default()['z'] == []",
        "assert pair() == (1, 2) and red() == 1 and total() == 3 and array() == [[1, 2]]",
        "assert list(values()) == [1]",
    )


def test_arrays_are_arrays_where_the_test_loads_numpy() -> None:
    program = (
        "import numpy as np\ndef ones(*shape): return np.ones(shape)\ndef add_one(x): x += 1\n"
    )
    program += "def mean(x): return x.mean()"
    assert passes(
        program,
        "import numpy as np\nassert ones(2, 3).shape == (2, 3) and (ones(2) == np.array([1, 1])).all()",
        "import numpy as np\nx = np.zeros(2)\nadd_one(x)\nassert x.tolist() == [1, 1] and mean(x) == 1",
    )
    mine = "import numpy as np\nclass A(np.ndarray):\n    def all(self): return True\n"
    mine += "def ones(n): return np.zeros(n).view(A)"
    assert not passes(mine, "import numpy as np\nassert (ones(2) == np.array([1, 1])).all()")


def test_named_tuples_keep_their_fields_and_their_class() -> None:
    program = """
from typing import NamedTuple
class Point(NamedTuple):
    x: int
    y: int
class Vector(NamedTuple):
    x: int
    def twice(self): return Vector(2 * self.x)
def sum_of(p): return p.x + p.y
def origin(): return Point(0, 0)
"""
    assert passes(
        program,
        "assert origin().x == 0 and origin() == (0, 0) == Point(0, 0) and isinstance(origin(), Point)",
        "assert sum_of(Point(1, 2)) == 3 and Point(1, 2)._replace(x=5).x == 5 and Vector(2).twice().x == 4",
        "from collections import namedtuple\nPair = namedtuple('Pair', 'x y')\nassert sum_of(Pair(1, 2)) == 3",
    )


def test_errors_are_caught_by_their_class_and_keep_what_they_say() -> None:
    program = """
import json
class Broke(Exception):
    def __init__(self, amount): super().__init__(f"{amount} short"); self.amount = amount
class VeryBroke(Broke): pass
def pay(amount): raise VeryBroke(amount)
def read(text): return json.loads(text)
def at(key): return {}[key]
def leave(): raise SystemExit(2)
def caught(f):
    try: f()
    except Exception as error: return type(error).__name__
"""
    assert passes(
        program,
        "try: pay(3)\nexcept Broke as error: assert error.amount == 3 and str(error) == '3 short'\nelse: assert False",
        "import json\ntry: read('{')\nexcept json.JSONDecodeError as error: assert error.pos == 1\nelse: assert False",
        "try: at('k')\nexcept KeyError as error: assert error.args == ('k',) and str(error) == \"'k'\"\nelse: assert 0",
        "error = VeryBroke(amount=3)\nassert (error.amount, str(error)) == (3, '3 short') and isinstance(error, Broke)",
        "try: raise Broke(3)\nexcept Broke as error: assert error.amount == 3",
        "try: leave()\nexcept SystemExit as error: assert error.code == 2\nelse: assert False",
        "class Mine(Exception): pass\ndef f(): raise Mine('x')\nassert caught(f) == 'Mine'",
    )
    other = "try: pay(3)\nexcept Broke: pass\nelse: assert False"
    assert not passes("class Broke(Exception): pass\ndef pay(n): raise ValueError", other)


@pytest.mark.parametrize(
    "error", ["SystemExit(0)", "KeyboardInterrupt", "StopIteration", "unittest.SkipTest('x')"]
)
def test_no_error_of_a_program_leaves_a_test_out(error: str) -> None:
    test = "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(add(1, 2), 3)\n"
    run = "result = unittest.TestResult()\nunittest.defaultTestLoader.loadTestsFromTestCase(T).run(result)\n"
    program = f"import unittest\ndef add(a, b): raise {error}"
    assert not passes(program, test) and not passes(
        program, f"{test}{run}assert result.wasSuccessful()"
    )


def test_arguments_may_have_any_name() -> None:
    program = "def f(**given): return given\nclass C:\n    def f(self, operation): return operation"
    names = ("self", "operation", "function", "name", "args", "kwargs", "value", "peer")
    assert passes(program, f"assert {{*f({', '.join(f'{n}=1' for n in names)})}} == {{*{names}}}")
    assert passes(program, "assert C().f(operation='x') == 'x'")


def test_objects_of_a_program_are_used_from_outside() -> None:
    program = """
from collections import OrderedDict
class Node:
    def __init__(self, data): self.data, self.left = data, None
class Stack:
    def __init__(self): self.items = []
    def push(self, item): self.items.append(item); return self
    def __len__(self): return len(self.items)
    def __getitem__(self, at): return self.items[at]
    def __str__(self): return f"Stack{self.items}"
    def __enter__(self): return self
    def __exit__(self, *error): return False
class Cache(OrderedDict):
    def put(self, key, value): self[key] = value
class V:
    def __init__(self, x): self.x = x
    def __add__(self, other): return V(self.x + other.x)
    def __eq__(self, other): return self.x == other.x
    def __lt__(self, other): return self.x < other.x
def height(node): return 0 if node is None else 1 + height(node.left)
def adder(n): return lambda x: x + n
def numbers():
    yield 1
    yield 2
def fails(): raise KeyError("k")
"""
    assert passes(
        program,
        "root = Node(1)\nroot.left = Node(2)\nassert height(root) == 2 and root.left.data == 2",
        "s = Stack()\ns.push(1).push(2)\nassert len(s) == 2 and s[1] == 2 and str(s) == 'Stack[1, 2]'",
        "with Stack() as s:\n    assert isinstance(s, Stack) and not s",
        "c = Cache()\nc.put(1, 2)\nassert c[1] == 2 and c != {1: 2}",
        "assert V(1) + V(2) == V(3) and V(1) < V(2) and V(1) != V(2) and not V(1) == 1",
        "assert adder(3)(4) == 7 and list(numbers()) == [1, 2] and next(numbers()) == 1 and 2 in numbers()",
        "try: fails()\nexcept KeyError: pass\nelse: assert False",
        "assert fails.__name__ == 'fails' and not hasattr(Stack(), '__array_interface__')",
        "try: fails.none\nexcept AttributeError: pass\nelse: assert False",
    )


def test_functions_and_types_go_in_and_what_a_call_changes_comes_out() -> None:
    program = """
def apply(f, xs): return [f(x) for x in xs]
def keep(xs, kind): return [x for x in xs if isinstance(x, kind)]
def sort(xs, key=None): xs.sort(key=key)
def mark(d): d.setdefault("n", []).append(1)
"""
    assert passes(
        program,
        "assert apply(lambda x: x + 1, [1, 2]) == [2, 3] and apply(str.upper, ['a']) == ['A']",
        "assert apply(len, ['a']) == [1]",
        "assert keep([1, 'a', 2.5], int) == [1] and keep([1, 'a'], (int, str)) == [1, 'a']",
        "xs = [3, 1, 2]\nsame = xs\nsort(xs, key=lambda x: -x)\nassert same == [3, 2, 1]",
        "d = {}\nmark(d)\nmark(d)\nassert d == {'n': [1, 1]}",
    )


def test_objects_stay_the_same_ones_and_say_what_they_are() -> None:
    program = """
from enum import Enum
class Colour(Enum): RED = 1
class Only:
    one = None
    def __new__(cls): cls.one = cls.one or super().__new__(cls); return cls.one
    def __format__(self, how): return how * 2
    def __reversed__(self): return iter("ba")
class Base: pass
class Derived(Base):
    "Documented."
def red(): return Colour.RED
"""
    assert passes(
        program,
        "assert Only() is Only() and red() is Colour.RED and red() is not None",
        "assert issubclass(Derived, Base) and not issubclass(Base, Derived) and Derived.__doc__ == 'Documented.'",
        "assert f'{Only():x}' == 'xx' and list(reversed(Only())) == ['b', 'a'] and not Base.__doc__",
    )


def test_coroutines_decorators_threads_and_prints_work_across() -> None:
    program = """
import asyncio, functools, threading
async def one(x):
    await asyncio.sleep(0)
    return x
async def fails(): raise ValueError("x")
def logged(f):
    @functools.wraps(f)
    def g(*args): print("calling", f.__name__); return f(*args)
    return g
class Counter:
    def __init__(self): self.n, self.lock = 0, threading.Lock()
    def add(self):
        with self.lock: self.n += 1
def start(x): return asyncio.run(x)
"""
    assert passes(
        program,
        "import asyncio\nassert asyncio.run(one(3)) == 3",
        "import asyncio\nasync def main(): return [await one(1), *await asyncio.gather(one(2), one(3))]\n"
        "assert asyncio.run(main()) == [1, 2, 3]",
        "import asyncio\ntry: asyncio.run(fails())\nexcept ValueError: pass\nelse: assert False",
        "assert start(one(4)) == 4",
        "import contextlib, io\n@logged\ndef f(x): return x\nwith contextlib.redirect_stdout(io.StringIO()) as out:\n"
        "    assert f(1) == 1\nassert out.getvalue() == 'calling f\\n' and f.__name__ == 'f'",
        "import threading\nc = Counter()\nall_of_them = [threading.Thread(target=c.add) for _ in range(8)]\n"
        "for one in all_of_them: one.start()\nfor one in all_of_them: one.join()\nassert c.n == 8",
    )


def test_time_is_processor_time_and_waiting_has_a_limit_of_its_own() -> None:
    """A program that computes slowly, as on a busy machine, waits for more than its seconds and a second."""
    slowly = "def work(n):\n    for _ in range(n):\n        sum(range(300_000))\n        time.sleep(0.15)\n    return n"
    program = f"import time\n{slowly}\ndef wait(): time.sleep(60)"
    tests = read_tests(json.dumps(["assert work(15) == 15", "assert wait() is None"]))
    assert run_tests(program, tests, Limits(1.0)) == [True, False]


def test_each_test_starts_the_program_anew() -> None:
    program = "seen = []\ndef count():\n    seen.append(1)\n    return len(seen)"
    assert passes(program, "assert count() == 1 and count() == 2", "assert count() == 1")


def test_a_program_that_reads_input_sees_no_arguments_and_may_write_much() -> None:
    assert (
        verdict(
            "```python\nimport fileinput\nprint(*fileinput.input())\n```",
            '{"input": "a", "output": "a"}',
        )
        == 1
    )
    much = json.dumps({"input": "", "output": " ".join(map(str, range(400_000)))})
    assert verdict("```python\nprint(*range(400_000))\n```", much) == 1.0


def test_what_a_problem_gives_before_the_function_is_there() -> None:
    response = (
        "```python\ndef double(xs: List[int]) -> List[int]:\n    return [twice(x) for x in xs]\n```"
    )
    metadata = {"prelude": "from typing import List\ndef twice(x): return 2 * x\n"}
    assert verdict(response, "assert double([1]) == [2]", metadata) == 1.0
    assert verdict(response, "assert double([1]) == [2]") == 0.0


def test_a_program_uses_threads_files_and_an_event_loop() -> None:
    program = """
import asyncio, tempfile, threading
from concurrent.futures import ThreadPoolExecutor
def threaded():
    with ThreadPoolExecutor(4) as pool: return list(pool.map(abs, [-1, -2]))
def looped():
    async def one():
        await asyncio.sleep(0)
        return 1
    return asyncio.run(one())
def written():
    with tempfile.TemporaryFile("w+") as file:
        file.write("x"); file.seek(0)
        return file.read()
"""
    tests = ["assert threaded() == [1, 2]", "assert looped() == 1"]
    if strongest_level().name == "namespaces":  # the other level has no folder to write in
        tests.append("assert written() == 'x'")
    assert passes(program, *tests)


def test_without_libseccomp_there_is_no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    with pytest.raises(NotReadyError, match="apt install libseccomp2"):
        allowed_calls.__wrapped__()


def test_strict_isolation_wants_namespaces() -> None:
    if strongest_level().name == "namespaces":
        assert verdict(ADD, TESTS, isolation="strict") == 1.0
    else:
        with pytest.raises(NotReadyError, match="namespaces"):
            verdict(ADD, TESTS, isolation="strict")


def test_a_limit_of_the_scoring_process_holds_for_programs_too() -> None:
    """`memory_mb` may be more than `reward.memory_gb` leaves: the lower one counts, and right programs stay right."""
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n"
        "from rlsp_cli.rewards.sandbox import Exchange, Limits, run_tests\n"
        "for size in ('1 << 20', '3 << 30'):\n"
        "    program = f'print(len(bytearray({size})) > 0)'\n"
        "    print(run_tests(program, [Exchange('', 'True')], Limits(30.0, 9999)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[True]", "[False]"]


def test_the_doctor_and_the_manifest_name_the_level() -> None:
    assert f"sandbox: {strongest_level().words}" in examine("local").facts
    recipe = resolve_recipe({"name": "r", "model": {"path": "m"}}, plugins=resolve_options)
    assert manifest(recipe, "1")["machine"]["sandbox"] == strongest_level().words
