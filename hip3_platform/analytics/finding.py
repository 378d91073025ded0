"""What a check has to say about one thing: expected, found, and the first bad row, as a value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that does not hold for one market (or for the whole table)."""

    where: str
    """Market, or what else the rule was asked of."""
    rule: str
    expected: str
    found: str
    first: str = ""
    """The first bad row, named so that a person finds it."""
    is_wrong: bool = True
    """The table is wrong, so that a figure made of it could move money. False: the table is right, and odd."""

    @property
    def text(self) -> str:
        """One line."""
        first = f", first {self.first}" if self.first else ""
        return f"{self.where}: {self.rule}: expected {self.expected}, found {self.found}{first}"
