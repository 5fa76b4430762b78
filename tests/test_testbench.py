"""`testbench`: stages by hand in three languages, what is refused, and what a program cannot do."""

import json
import shutil
from typing import Any

import pytest

from rlsp_cli.errors import NotReadyError
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.sandbox import TOOLCHAINS, Limits, run_stages

pytestmark = pytest.mark.integration  # each program runs in a sandbox


def needs(command: str) -> pytest.MarkDecorator:
    reason = f"no {command} on this machine"
    return pytest.mark.skipif(shutil.which(command) is None, reason=reason)


def score(language: str, program: str, tests: list[dict[str, str]], **options: Any) -> Any:
    """The score of a program in a fence of its language."""
    response = f"Here:\n```{language}\n{program}\n```"
    sample = Sample("", response, json.dumps(tests))
    function = get_plugin("verifier", "testbench").function
    found = function(sample, language=language, **{"seconds": 20, **options})
    return None if found is None else float(found.correct)


SUMS = [{"input": "1 2", "output": "3"}, {"input": "2 2", "output": "4"}]
C_SUM = """#include <stdio.h>
int main(void) { int a, b; scanf("%d %d", &a, &b); printf("%d\\n", a + b); return 0; }"""
JS_SUM = """const [a, b] = require("fs").readFileSync(0, "utf8").split(" ").map(Number);
console.log(a + b);"""


@pytest.mark.parametrize(
    ("language", "program"),
    [
        pytest.param("c", C_SUM, marks=needs("gcc")),
        pytest.param("javascript", JS_SUM, marks=needs("node")),
    ],
)
def test_input_and_output_are_scored_in_stages(language: str, program: str) -> None:
    assert score(language, program, SUMS) == 1.0

    # 3 is always written: both run, one of two passes.
    constant = program.replace("a + b", "3")
    assert score(language, constant, SUMS) == 0.0
    assert score(language, constant, SUMS, partial=True) == pytest.approx(0.1 + 0.1 + 0.8 / 2)
    assert score(language, constant, SUMS, partial=True, stages=(0.5, 0.25, 0.25)) == 0.875

    broken = program.replace("(", "((", 1)
    assert score(language, broken, SUMS, partial=True) == 0.0


@needs("gcc")
def test_a_program_that_fails_or_waits_has_compiled_and_not_run() -> None:
    fails = C_SUM.replace("return 0", "return a == 1")  # the first test alone
    assert score("c", fails, SUMS, partial=True) == pytest.approx(0.1 + 0.1 / 2 + 0.8 / 2)

    endless = "int main(void) { for (;;); }"
    assert score("c", endless, SUMS[:1], partial=True, seconds=0.5) == pytest.approx(0.1)


@needs("gcc")
def test_code_of_a_test_is_built_with_the_program() -> None:
    testbench = '#include <stdio.h>\nint twice(int); int main(void) { printf("%d", twice(21)); }'
    tests = [{"testbench": testbench, "output": "42"}]
    assert score("c", "int twice(int x) { return 2 * x; }", tests) == 1.0
    assert score("c", "int twice(int x) { return x; }", tests, partial=True) == pytest.approx(0.2)

    # It compiles alone; without the function nothing can be built and run.
    assert score("c", "int once(int x) { return x; }", tests, partial=True) == pytest.approx(0.1)


ADDER = "module add(input [3:0] a, b, output [3:0] y); assign y = a + b; endmodule"
BENCH = """module t; reg [3:0] a, b; wire [3:0] y; add d(a, b, y);
initial begin a = %d; b = 2; #1 $display("%%0d", y); $finish; end endmodule"""
VERILOG = [{"testbench": BENCH % a, "output": str(a + 2)} for a in (1, 3)]


@needs("iverilog")
def test_a_design_is_scored_by_what_its_testbench_prints() -> None:
    assert score("verilog", ADDER, VERILOG) == 1.0

    # a | b is 3 for 1 and 2, and not 5 for 3 and 2.
    either = ADDER.replace("a + b", "a | b")
    assert score("verilog", either, VERILOG) == 0.0
    assert score("verilog", either, VERILOG, partial=True) == pytest.approx(0.6)
    assert score("verilog", ADDER.replace("assign", "asign"), VERILOG, partial=True) == 0.0


@needs("iverilog")
def test_a_design_that_writes_or_ends_the_simulation_is_wrong() -> None:
    cheat = ADDER.replace("assign", 'initial begin $display("3"); $finish; end assign')
    assert score("verilog", cheat, VERILOG, partial=True) == 0.0
    assert score("verilog", ADDER.replace("a + b", "$unsigned(a) + b"), VERILOG) == 1.0


@needs("iverilog")
@pytest.mark.parametrize(
    ("macro", "call"),
    [("`define F(x) $``x", "`F(finish)"), ("`define F(x) x``finish", "`F($)")],
)
def test_a_macro_makes_no_system_task(macro: str, call: str) -> None:
    cheat = ADDER.replace("assign", f"initial {call}; assign")
    assert score("verilog", f"{macro}\n{cheat}", VERILOG, partial=True) == 0.0


@needs("gcc")
@pytest.mark.parametrize(
    "attempt",
    [
        'if (fopen("/etc/passwd", "r")) return 0; return 1;',
        'if (fopen("left", "w")) return 0; return 1;',
        "return socket(AF_INET, SOCK_STREAM, 0) < 0;",
        "return fork() < 0;",
    ],
)
def test_a_program_sees_no_file_of_the_machine_no_network_and_starts_no_process(
    attempt: str,
) -> None:
    headers = "#include <stdio.h>\n#include <unistd.h>\n#include <sys/socket.h>\n"
    program = f"{headers}int main(void) {{ {attempt} }}"
    assert score("c", program, [{"input": "", "output": ""}], partial=True) == pytest.approx(0.1)


@needs("gcc")
def test_references_that_are_no_tests_and_stages_that_are_no_shares_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a test is .*'input': '1'.*, expected"):
        score("c", C_SUM, [{"input": "1"}])
    with pytest.raises(ValueError, match="expected"):
        score("javascript", JS_SUM, [{"testbench": "x", "output": "1"}])
    with pytest.raises(ValueError, match=r"add up to 1\.5, expected 1"):
        score("c", C_SUM, SUMS, stages=(0.5, 0.5, 0.5))
    assert score("c", C_SUM, []) is None


def test_a_missing_toolchain_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda command: None)
    verilog = TOOLCHAINS["verilog"]._replace(hello="another")
    with pytest.raises(NotReadyError, match=r"iverilog: not on this machine.*apt-get install"):
        run_stages(verilog, ADDER, [], Limits())


def test_a_missing_toolchain_is_found_before_the_reference_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Workers try a verifier with a sample of another kind, and report only what is not ready."""
    monkeypatch.setattr(shutil, "which", lambda command: None)
    monkeypatch.setitem(TOOLCHAINS, "verilog", TOOLCHAINS["verilog"]._replace(hello="a third"))
    testbench = get_plugin("verifier", "testbench").function
    with pytest.raises(NotReadyError, match="iverilog: not on this machine"):
        testbench(Sample("1", r"\boxed{1}", "2"))
