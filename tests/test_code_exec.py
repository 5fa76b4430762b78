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

CODE = "def add(a, b):\n    return a + b"
ADD = f"```python\n{CODE}\n```"
TESTS = json.dumps(["assert add(1, 2) == 3", "assert add('a', 'b') == 'ab'"])


def verdict(response: str, reference: str | None, metadata: dict[str, Any] | None = None, **options: Any) -> Any:
    function = get_plugin("verifier", "code_exec").function
    found = function(Sample("", response, reference, metadata=metadata or {}), **{"seconds": 30, **options})
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
def test_the_verdict_is_the_share_of_tests_that_a_program_passes_shut_in(program: str, right: float) -> None:
    seconds = 1.0 if "while True" in program else 30.0
    assert verdict(f"```python\n{program}\n```", TESTS, partial=True, seconds=seconds, memory_mb=256) == right


def test_tests_are_code_or_pairs_of_input_and_output() -> None:
    pairs = json.dumps(
        [{"input": "1 2", "output": "3\n"}, {"input": "4 5", "output": 9}, {"input": [1, 1], "output": 2}]
    )
    assert verdict("```python\nimport sys\nprint(sum(map(int, sys.stdin.read().split())))\n```", pairs) == 1.0
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
    ],
)
def test_a_reference_that_cannot_judge_is_an_error_and_no_verdict(reference: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"reference|test") as error:
        verdict(ADD, reference)
    assert reason in str(error.value)


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
        "1. First:\n   ```python\n" + "\n".join(f"   {line}" for line in CODE.split("\n")) + "\n   ```\n2. Done.",
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
    ],
)
def test_the_program_is_the_last_block_that_defines_what_the_tests_call(response: str) -> None:
    assert verdict(response, TESTS) == 1.0


def test_the_last_labelled_block_counts_where_tests_give_input_and_output() -> None:
    exchange = [Exchange("", "5")]
    assert find_program("```python\nprint(5)\n```\nOutput:\n```\n5\n```", exchange) == "print(5)"
    assert find_program("```\nprint(4)\n```\n```\nprint(5)\n```", exchange) == "print(5)"
    assert find_program("```bash\nls\n```", exchange) is None


def test_a_block_ends_at_its_own_fence_and_keeps_its_lines() -> None:
    text = "````md\n```python\nx\n```\n````\n~~~\n```\n~~~\n```\na\x0cb\u2028c\n```\n```sql\nselect 1"
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
def test_a_test_takes_from_the_program_only_what_nobody_else_defines(test: str, names: tuple[str, ...]) -> None:
    (found,) = read_tests(test)
    assert isinstance(found, Assertion) and found.names == names


def test_a_program_cannot_replace_what_a_test_compares_with() -> None:
    assert not passes("abs = lambda x: 0\ndef add(a, b): return 7", "assert abs(add(1, 2) - 3) < 1e-6")
    assert not passes("class math: isclose = max\ndef add(a, b): return 7", "assert math.isclose(add(1, 2), 3)")
    assert passes("def sum(a, b): return 6", "assert sum(10, 15) == 6")


def test_plain_data_of_any_type_comes_back_as_it_is() -> None:
    values = ["None", "True", "1", "7**9999", "-2.5", "float('inf')", "2j", "'a\\ud800'", "b'\\0'", "range(3)"]
    values += ["[1, [2]]", "(1,)", "{1, 2}", "{(1, 2): [3]}"]
    values += ["frozenset({1})", "bytearray(b'x')", "collections.deque([1])", "fractions.Fraction(1, 3)"]
    values += ["decimal.Decimal('1.10')", "datetime.datetime(2026, 1, 2, 3)", "datetime.timedelta(1)"]
    program = (
        "import collections, fractions, decimal, datetime\ndef same(x): return x\ndef value(n): return VALUES[n]\n"
    )
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
        "assert pair() == (1, 2) and red() == 1 and total() == 3 and array() == [[1, 2]]",
        "assert list(values()) == [1]",
    )


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


def test_each_test_starts_the_program_anew() -> None:
    program = "seen = []\ndef count():\n    seen.append(1)\n    return len(seen)"
    assert passes(program, "assert count() == 1 and count() == 2", "assert count() == 1")


def test_what_a_problem_gives_before_the_function_is_there() -> None:
    response = "```python\ndef double(xs: List[int]) -> List[int]:\n    return [twice(x) for x in xs]\n```"
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
