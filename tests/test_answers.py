"""Which text of a response is its answer, and when two answers are one (docs/answers.md)."""

import time
from typing import Any

import pytest

from rlsp_cli.rewards.answers import found_answer, same_answer, stated_answer
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.runs.stream import read_rows


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        # a box counts before tags, and tags before a statement
        (r"The answer is 3. So \boxed{4}", "4"),
        (r"<answer>3</answer> \boxed{4}", "4"),
        ("<answer>3</answer> The answer is 4.", "3"),
        ("<think>x</think><answer>8</answer>", "8"),
        ("<answer>1</answer><answer>\n 42 \n</answer>", "42"),
        # boxes of one answer stand close together, with a word or a label between them
        (r"$a=\boxed{3}$, $b=\boxed{4}$", "3, 4"),
        (r"Thus $x=\boxed{2}$ or $x=\boxed{5}$.", "2, 5"),
        (r"\boxed{4} and \boxed{4}", "4"),
        (r"\boxed{3} \boxed{4}", "4"),
        (r"\boxed{3}, no: \boxed{4}", "4"),
        (r"\framebox{57}", "57"),
        # the last statement counts, to the end of its clause
        ("The answer is 42. It took 3 steps and 7 items.", "42"),
        ("The answer is $9$. $x = 4$ was not used.", "$9$"),
        ("2+40=42\n#### 42\n\nI used 3 steps and 7 items.", "42"),
        ("First I thought the answer is 5, but the answer is 6.", "6"),
        ("Answer: The correct answer is 7.", "7"),
        ("The answer is 3.5 meters.", "3.5 meters"),
        ("The answer is 5, not 7.", "5"),
        ("The answer is 5 because 7 is too much.", "5"),
        ("The answer is x = 4, as 4 + 3 = 7.", "x = 4"),
        ("The answer is approximately 5.", "5"),
        ("**Answer:** **42**", "42"),
        ("**Final Answer**\n\n$$42$$\nas shown above with 7", "$$42$$"),
        ("## Answer\n\n42", "42"),
        ("The answer is:\n\\[ x = 5 \\]", "\\[ x = 5 \\]"),
        ("Final Answer: The largest $n$ is 34.", "34"),
        ("42 is the answer. It took 7 steps.", "42"),
        ("Answer:\n```\n3 * 8\n```", "3 * 8"),
        ("**Answer: 10**2", "10**2"),
        ("So 9*2 = 18.\n#### 18 dollars", "18 dollars"),
        ("The answer is 5. Or is the answer 6? The answer is 7? No.", "5"),
        # no statement
        ("The answer is 42. I am sure that this answer is correct.", "42"),
        ("#### 1. First step\nWe get 7", None),
        ("So it is 5.", None),
        (r"The answer is \boxed{42", None),
    ],
)
def test_one_text_of_a_response_is_its_answer(response: str, answer: str | None) -> None:
    assert stated_answer(response) == answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("We get $5$", "5"),
        ("It costs $18 in total and $5 are left.", "5"),
        ("The recipe needs 5 1/2 cups.", "5 1/2"),
        (r"Therefore, \frac{4}{7}.", r"\frac{4}{7}"),
        ("28 percent", "28 percent"),
        ("The answer is 9. We used 4.", "9"),
        ("nothing at all", None),
    ],
)
def test_where_nothing_is_stated_the_last_formula_or_number_can_be_taken(
    response: str, answer: str | None
) -> None:
    assert found_answer(response) == answer


def test_finding_an_answer_takes_time_in_proportion_to_the_text() -> None:
    pieces = (
        "answer is ",
        "answer to ",
        "the answer is correct. ",
        "\\[ ",
        "$a",
        "<answer>",
        "#### 1",
        r"\boxed{1},",
        "1,",
    )
    began = time.process_time()
    for piece in pieces:
        found_answer(piece * (400_000 // len(piece)))
    assert time.process_time() - began < 60  # a square of the length would take hours


SAME = r"""
                                      # punctuation at the end
42 | 42. | 42, | 42; | 42\,. | 42\text{.} | 42。
\sqrt{2} | \sqrt{2}.
(1,2) | (1, 2). | \left(1,\,2\right)
                                      # fonts, colours, frames
7 | \textbf{7} | \mathbf{7} | \bm{7} | {\bf 7} | \color{red}{7} | \textcolor{blue}{7} | \underline{7} | \fbox{7} | **7**
7 | \fcolorbox{red}{white}{$7$} | \colorbox{yellow}{7}
\frac{3}{4} | \boldsymbol{\frac{3}{4}} | \textcolor{blue}{\dfrac{3}{4}} | \nicefrac{3}{4} | \tfrac34 | ¾ | 0.75
                                      # signs
-3 | −3 | –3
45^\circ | 45° | 45\degree | 45 degrees | 45
12\cdot 5 | 12·5 | 12 × 5
\emptyset | \varnothing | ∅ | \{\}
1 < x < 3 | 3 > x > 1
                                      # money, percent, thousands
\$12.50 | 12.50 | $12.50$ | 12.50 dollars | \$12.50\text{ dollars}
1250 | \$1,250 | 1{,}250 | 1\,250 | €1,250 | \$1,250 in total
5000000 | 5 million | \$5\text{ million}
28\% | 28 percent | 28 | 0.28
                                      # powers of ten
7e37 | 7 \times 10^{37} | 7\cdot 10^37
4.5e-7 | 4.5\times 10^{-7} | 0.00000045
320000 | 3.2e5 | 3.2E+05
                                      # mixed numbers and repeating decimals
\frac{11}{4} | 2 3/4 | 2\frac{3}{4} | 2¾ | 2.75
\frac{4}{33} | 0.\overline{12} | 0.(12) | 0.121212\ldots
\frac{1}{3} | 0.\bar{3} | 0.\dot{3} | 0.333... | 0.333333
2.\overline{3} | \frac{7}{3}
                                      # plain text
\frac{\pi}{6} | pi/6 | π/6
e^{9}-4 | -4 + exp(9)
\ln 3 | ln(3) | \log_e 3
\frac{1+\sqrt{5}}{2} | (1+sqrt(5))/2 | (1+√5)/2
x^{10} | x**10 | x^10
                                      # names and units
5 | x = 5 | x=5 | \text{Area} = 5 | 5\text{ cm} | 5 cm | 5 apples | \approx 5
9.8\text{ m/s}^2 | 9.8\ \mathrm{m}/\mathrm{s}^2 | 9.8 meters per second squared
12\text{ cm}^2 | 12 \text{ square centimeters} | 12
\text{ellipse} | \text{an ellipse} | Ellipse
                                      # several parts
2\text{ hours }30\text{ minutes} | 2 hr 30 min | 2 hours and 30 minutes
5\text{ feet }6\text{ inches} | 5'6" | 5 ft 6 in
12\text{ AM} | 12 a.m.
x \equiv 2 \pmod{9} | x ≡ 2 (mod 9) | 2
\frac{dy}{dx} = 3x^2 | dy/dx = 3x^2 | 3x^2
2, 4, \ldots, 2n | 2,4,\dots,2n
2,5 | 5, 2 | 2 \text{ or } 5 | $2$ and $5$ | x=2 \text{ or } x=5
y=2x+3 | 2x-y+3=0
V_{1}:V_{2}=11:21 | 11:21
\text{no solution} | \text{No solution.}
                                      # inequalities, vectors, matrices, bases, complex numbers
[0,1) | 0 \le x < 1 | 1 > x \ge 0
(-\infty,2)\cup(3,\infty) | x<2 \text{ or } x>3 | (-inf, 2) U (3, inf) | (-\infty,2)\bigcup(3,\infty)
(3,-4) | \langle 3,-4 \rangle
\begin{pmatrix} 1 \\ 2 \end{pmatrix} | \begin{pmatrix} 1 \\[1ex] 2 \end{pmatrix}
2516_8 | (2516)_8 | 2516
42 | 42_{10}
3+4i | 3+4\cdot i | 3+4*i
                                      # units in a fraction, times
5\text{ km/h} | 5\,\frac{\text{km}}{\text{h}}
1:20\text{ PM} | 01:20 p.m. | 1:20
120 | 5!
"""  # noqa: RUF001
OTHER = r"""
                                      # small numbers
0.00000012 | 0.00000013 | 0
0 | 1e-9 | 10^{-20}
10^{-31} | 10^{-32}
9.11\times 10^{-31}\text{ kg} | 1.67\times 10^{-27}\text{ kg}
e^{-50} | e^{-40}
\sqrt{2}\times 10^{-20} | \sqrt{3}\times 10^{-20}
(10^{-31}, 1) | (10^{-32}, 1)
x = 0.0000001 | x = 0.0000002
10^{-20}x | 2 \cdot 10^{-20}x
                                      # exact numbers
0.5 | 0.5000001
1000000 | 1000000.5
10^{30} | 10^{30}+1
\frac{2^{2005}+1}{3 \cdot 2^{2006}} | \frac{1}{3 \cdot 2^{2006}}
\frac{1}{3} | 0.33 | 0.3334 | 0.\overline{4}
\pi | 3.14 | 22/7
\frac{1}{0} | \frac{2}{0}
                                      # numbers that stand side by side
2\frac12 | 1 | 21/2
12 | 5 7
7 | 3(4)
45 | 30^\circ 15
3:4:5 | 3:20:1
                                      # the rest of a formula
5 | 5\pi | 5x | 5m | 5 + 3 | 5, 4 | 5 million
\frac12\pi r^2 | \frac12\pi r^2 h
x^2+1=0 | x^2+2=0
10_{7} | 10_{8}
f'(x) = 2x | f'(x) = 3x | f(x) = 2x | f''(x) = 2x
\frac{dy}{dx} = 3x^2 | \frac{dy}{dx} = 2x^2 | \frac{dy}{dt} = 3x^2
\frac{\partial f}{\partial x} = 2xy | \frac{\partial f}{\partial x} = 3xy
x \equiv 2 \pmod{9} | x \equiv 2 \pmod{4}
2, 4, \ldots, 2n | 1, 3, \ldots, 2n-1 | 2, 4, 2n
1+3+\cdots+(2n-1)=n^2 | 1+3+\cdots+(2n-1)=n^3
\pi \approx 3.14 | \pi \approx 3.15
                                      # units and words
2\text{ hours }30\text{ minutes} | 2\text{ hours }45\text{ minutes} | 3\text{ hours }20\text{ minutes} | 60
2 | 2\text{ hours }30\text{ minutes}
5\text{ feet }6\text{ inches} | 5\text{ feet }9\text{ inches}
12\text{ AM} | 12\text{ PM}
7\text{ m} | 7\text{ cm} | 7\text{ m}^2
\$12.50 | 12.50 cents | 12.50 euros | 12.50 meters | €12.50
12.50\text{ cents} | \$12.50 | $12.50 | $\$12.50$
60\text{ mph} | 60\text{ km/h}
5\text{ January} | 5\text{ February}
2\text{ red}, 3\text{ blue} | 2\text{ blue}, 3\text{ red}
5 | \text{at least } 5 | 5 \text{ or more} | \text{not } 5
\text{odd} | \text{even}
5 | 5 \text{ squared} | 5 \text{ factorial}
90^\circ | 90\text{ radians}
1:20\text{ PM} | 2:40\text{ PM} | 1:20\text{ AM}
                                      # brackets, inequalities
(3,-4) | [3,-4]
[0,1) | 0 < x < 1
(-\infty,2)\cup(3,\infty) | x<2 \text{ or } x \ge 3
                                      # what would take long to compute
42 | 42!! | 9^{9^{9}} | 2^{2^{2^{2^{2^{2}}}}} | 0.5^{10^{10}} | (42!)! | (10^9)! | \binom{10^9}{10^8}
"""


def pairs(table: str) -> list[tuple[str, str]]:
    """The first cell of each line with each other one."""
    rows = [
        [cell.strip() for cell in line.split(" | ")] for line in table.splitlines() if " | " in line
    ]
    return [(reference, answer) for reference, *answers in rows for answer in answers]


@pytest.mark.parametrize(("reference", "answer"), pairs(SAME))
def test_an_answer_in_another_notation_is_the_same(reference: str, answer: str) -> None:
    assert same_answer(reference, answer)


@pytest.mark.parametrize(("reference", "answer"), pairs(OTHER))
def test_an_answer_that_differs_in_any_part_is_another(reference: str, answer: str) -> None:
    assert not same_answer(reference, answer) and not same_answer(answer, reference)


def test_a_base_that_the_reference_does_not_have_is_another_number() -> None:
    assert not same_answer("42", "42_8") and not same_answer("42_7", "42_8")


def right(response: str, reference: str, **options: Any) -> bool:
    return bool(
        get_plugin("verifier", "math_verify")
        .function(Sample("", response, reference), **options)
        .correct
    )


@pytest.mark.parametrize("reference", ["42", "7", "3"])
def test_a_right_number_beside_a_stated_answer_earns_nothing(reference: str) -> None:
    told = (
        "The answer is 42. It took 3 steps and 7 items.",
        "#### 42\n\nI used 3 steps and 7 items, or 7.",
    )
    assert [right(response, reference) for response in told] == [reference == "42"] * 2
    assert right(r"\boxed{3}, \boxed{7}", reference) is False and right(
        r"\boxed{3}, \boxed{7}", "3, 7"
    )


def test_options_say_how_far_an_answer_is_looked_for() -> None:
    responses = (
        r"\boxed{5}",
        "<answer>5</answer>",
        "The answer is 5.",
        "We get 5",
        r"We get 5, \boxed{6}",
        r"\boxed{5",
    )
    found = {
        e: [right(response, "5", extract=e) for response in responses]
        for e in ("boxed", "stated", "anywhere")
    }
    assert found["boxed"] == [True, False, False, False, False, False]
    assert found["stated"] == [True, True, True, False, False, False]
    assert found["anywhere"] == [True, True, True, True, False, False]


def test_recorded_cases_are_judged_as_expected_but_for_what_the_page_decides(
    shared_data: Any,
) -> None:
    rows = [row for row in read_rows(shared_data / "verifier_cases.jsonl") if not row.get("policy")]
    rows = [
        row
        for row in rows
        if row["verifier"] in ("math_verify", "numeric", "multiple_choice", "countdown")
    ]
    assert len(rows) == 110
    for row in rows:
        sample = Sample("", row["response"], row["reference"], metadata=row.get("metadata") or {})
        verdict = get_plugin("verifier", row["verifier"]).function(sample)
        assert bool(verdict.correct) == row["expected"], row
