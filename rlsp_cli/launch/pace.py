"""How long the rest of a stage takes."""

import time


class Pace:
    """How long the rest of something takes, judged by what was done since it was first seen."""

    def __init__(self) -> None:
        self.what, self.began, self.first = "", 0.0, 0

    def left(self, what: str, done: int, total: int | None, now: float | None = None) -> str | None:
        """`2 h 5 min`, `4 min` or `30 s`; None at the end, and before anything was done."""
        now = time.monotonic() if now is None else now

        # A resumed stage begins with steps that were done before: only what is done from here on
        # tells how fast it is. An evaluation starts anew with each of its benches.
        if what != self.what or not self.began:
            self.what, self.began, self.first = what, now, done

        if total is None or done >= total or done <= self.first:
            return None
        return duration((now - self.began) / (done - self.first) * (total - done))


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
