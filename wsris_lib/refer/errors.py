"""What is said about bad data: an error that stops, a warning for what was skipped or changed, or a list of faults."""

from collections import defaultdict
from dataclasses import dataclass

SHOWN = 3  # examples of one fault


class DataError(ValueError):
    """Data on disk are not what they should be. The message names the file and the way out, a line for each fault."""


class MissingData(DataError):
    """A corpus or its images aren't there, nor is anything near that may have been meant: they may be fetched."""


class DataWarning(UserWarning):
    """Data that are used, but not all or not as they lie there; one warning for each reason, with the first case."""


@dataclass(frozen=True)
class Fault:
    """One kind of thing that is wrong with a file.

    Attributes:
        where: the file or folder.
        what: how it is wrong, as "ref(s) with an empty sentence".
        examples: the first few that are wrong so, SHOWN at most.
        count: how many there are.
        mend: what to do.
        stops: whether no run may start with it; else it is only said.
    """

    where: str
    what: str
    examples: tuple[str, ...]
    count: int
    mend: str
    stops: bool

    def __str__(self) -> str:
        """A line, or where there are several examples, a line for each below it."""
        mend = f"; {self.mend}" if self.mend else ""
        if self.count == 1:
            return f"{self.where}: 1 {self.what}: {self.examples[0]}{mend}"
        more = [f"and {self.count - len(self.examples):,} more"] if self.count > len(self.examples) else []
        return "\n    ".join([f"{self.where}: {self.count:,} {self.what}{mend}", *self.examples, *more])


class Faults:
    """Collects whatever is wrong, and says it all at once."""

    def __init__(self) -> None:
        self._examples: defaultdict[tuple[str, str, str, bool], list[str]] = defaultdict(list)

    def add(self, where: object, what: str, example: str, mend: str = "", stops: bool = True) -> None:
        """Note one thing; those that differ in nothing but the example are counted together."""
        self._examples[str(where), what, mend, stops].append(example)

    @property
    def stopping(self) -> int:
        """How many things were noted that stop a run."""
        return sum(len(examples) for (*_, stops), examples in self._examples.items() if stops)

    def list(self) -> list[Fault]:
        """A fault for each kind, in the order in which they came up."""
        return [
            Fault(where, what, tuple(examples[:SHOWN]), len(examples), mend, stops)
            for (where, what, mend, stops), examples in self._examples.items()
        ]

    def check(self) -> None:
        """Raises DataError with every fault that stops, if there is one."""
        refuse(self.list())


def refuse(faults: list[Fault]) -> None:
    """Raises DataError with every fault that stops, if there is one."""
    if stopping := [str(fault) for fault in faults if fault.stops]:
        raise DataError("\n".join(stopping))
