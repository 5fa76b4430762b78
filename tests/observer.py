"""An observer for tests."""


class Recorder:
    """Remembers what was said, and how often it was ticked."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.ticks = 0

    def say(self, text: str) -> None:
        self.said.append(text)

    def tick(self) -> None:
        self.ticks += 1
