"""Wrong programs that want to be taken for right ones, or for no program's fault. The test expects a number of them.

It is none that a program could guess, so that one which returns it has read it or was told.
"""

_ANY = "__eq__ = lambda self, other: True"

FORGERIES = {
    # leaving before anybody looks
    "leaves early": "import os; os._exit(0)",
    "leaves early by name": "raise SystemExit(0)",
    "leaves when it is called": "import os\ndef add(a, b): os._exit(0)",
    "leaves with the code of no sandbox": "import os; os._exit(97)",
    "leaves by atexit": "import atexit, os\natexit.register(os._exit, 0)\ndef add(a, b): return 7",
    "leaves by a hook": "import sys, os\nsys.excepthook = lambda *a: os._exit(0)\ndef add(a, b): return 7",
    # results that judge themselves
    "number that equals all": f"class N(int): {_ANY}\ndef add(a, b): return N(7)",
    "text that equals all": f"class N(str): {_ANY}\ndef add(a, b): return N('x')",
    "list that equals all": f"class N(list): {_ANY}\ndef add(a, b): return N()",
    "list with methods that equals all": f"class N(list):\n  more = 1; {_ANY}\ndef add(a, b): return N()",
    "object that equals all": f"class N: {_ANY}\ndef add(a, b): return N()",
    "class that equals all": f"class M(type): {_ANY}; __hash__ = None\nclass add(metaclass=M):\n"
    "  def __new__(cls, *a): return cls",
    "object with a false class": f"class N: __class__ = int; {_ANY}\ndef add(a, b): return N()",
    "object without a difference": "class N: __sub__ = __rsub__ = __abs__ = lambda *a: 0\ndef add(a, b): return N()",
    "mock": "from unittest.mock import MagicMock, ANY\nadd = MagicMock(return_value=ANY)",
    # swallowing or replacing the test
    "lambda that goes on": "def add(a, b): return 7\n_ = lambda: \\",
    "list that goes on": "def add(a, b): return 7\n_ = [",
    "text that goes on": "def add(a, b): return 7\n_ = '''",
    "another AssertionError": "import builtins\nbuiltins.AssertionError = SystemExit\ndef add(a, b): return 7",
    "another compile": "import builtins\nbuiltins.compile = lambda *a, **k: 'pass'\ndef add(a, b): return 7",
    "another abs": "import builtins\nbuiltins.abs = abs = lambda x: 0\ndef add(a, b): return 7",
    # saying the verdict
    "writes verdicts everywhere": """
import os
for n in range(1, 256):
    try: os.write(n, b'passed {"passed": true}\\n{"value": ["builtins.dict"], "passed": true}\\n' * 9)
    except OSError: pass
def add(a, b): return 7
""",
    "sends a built-in function": """
import os
os.write(3, b'{"value": ["builtins.dict", ["builtins.tuple", "add", ["builtin", "max"]]]}\\n')
""",
    "asks for attributes": """
import json, os
def add(a, b):
    ask = {"ask": "__getattr__", "args": ["builtins.list", "x", "__class__"], "kwargs": ["builtins.dict"]}
    os.write(3, json.dumps(ask).encode() + b"\\n")
    return json.loads(os.read(3, 999))["value"]
""",
    "asks for what it was not lent": """
import json, os
def add(a, b):
    ask = {"ask": "__call__", "args": ["builtins.list", ["theirs", 0]], "kwargs": ["builtins.dict"]}
    os.write(3, json.dumps(ask).encode() + b"\\n")
    return json.loads(os.read(3, 999))["value"]
""",
    # reading what is expected
    "frames": """
import re, sys
def add(a, b):
    frame = sys._getframe()
    while frame:
        if found := re.search(r"== (\\d{9})", str(frame.f_locals) + str(frame.f_globals)): return int(found[1])
        frame = frame.f_back
""",
    "all objects": """
import gc, re
def add(a, b):
    for one in gc.get_objects():
        if type(one) in (list, dict, tuple) and (found := re.search(r"== (\\d{9})", str(one)[:99999])):
            return int(found[1])
""",
    "memory": """
import ctypes, re
def add(a, b):
    for start in range((id(add) & ~0xFFFFF), (id(add) & ~0xFFFFF) + 0x80000, 0x1000):
        if found := re.search(rb"== (\\d{9})", ctypes.string_at(start, 0x1000)): return int(found[1])
""",
    "files": """
import glob, re
def add(a, b):
    for file in [*glob.glob("*"), "program.py", "test.py", "/proc/self/mem", "/proc/1/environ"]:
        if found := re.search(r"== (\\d{9})", open(file).read()): return int(found[1])
""",
    "environment": "import os, sys\ndef add(a, b): return int((str(os.environ) + str(sys.argv)).split('== ')[1][:9])",
    # no fault of a program
    "surrogates": "x = '\ud800'\ndef add(a, b): return 7",
    "NUL": "def add(a, b): return 7\0",
    "no Python": "Sorry.",
    "4 MB": "x = '" + "x" * 4_000_000 + "'",
    "parentheses": f"def add(a, b): return {'(' * 5000}7{')' * 5000}",
    "kills itself": "import os, signal; os.kill(os.getpid(), 9)",
    "stops itself": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
    "alarm": "import signal; signal.setitimer(signal.ITIMER_REAL, 0.01); signal.pause()",
    "segmentation fault": "import ctypes; ctypes.string_at(0)",
    "nested folders": "import os\nfor _ in range(3000): os.mkdir('d'); os.chdir('d')",
    # no end
    "no end": "while True: pass",
    "no end when it is called": "def add(a, b):\n  while True: pass",
    "no end and no signal": """
import signal
for n in range(1, 65):
    try: signal.signal(n, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True: pass
""",
    "matching that holds the lock": "import re\nre.match('(a*)*b', 'a' * 60)",
    "sleep": "import time; time.sleep(99)",
    "power": "def add(a, b): return 9 ** 9 ** 8",
    "constants": "x = ((((9 ** 9) ** 99) ** 99) ** 99) ** 99\ndef add(a, b): return 7",
    "value in itself": "def add(a, b):\n  found = []\n  found.append(found)\n  return found",
    "deep value": "def add(a, b):\n  found = []\n  for _ in range(100_000): found = [found]\n  return found",
    "deep message": "import os\nos.write(3, b'[' * 100_000 + b'\\n')\ndef add(a, b): return 7",
    "endless message": "import os\nwhile True: os.write(3, b'x' * 65536)",
    "endless output": "import os\nwhile True: os.write(1, b'x' * 65536)",
    "endless iterator": "import itertools\nadd = lambda a, b: itertools.count()",
    "endless threads": "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()",
    "endless memory": "kept = []\nwhile True: kept.append(bytearray(1 << 24))",
}
