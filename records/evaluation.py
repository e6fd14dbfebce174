"""What the test says of a model, class by class, and what deserves a warning about it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

_NAMED = 10  # Classes that a warning names; the report has them all.


class Record(BaseModel):
    """Frozen; what later versions add is kept when a file is written again."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Quality(Record):
    """In [0, 1]."""

    precision: float
    recall: float
    f1: float

    @classmethod
    def mean(cls, qualities: Iterable["Quality"]) -> "Quality":
        """The macro average, where every class counts alike; 0 of no classes."""
        rows = list(qualities)
        fields = ("precision", "recall", "f1")
        return cls(**{f: sum(getattr(q, f) for q in rows) / max(1, len(rows)) for f in fields})


class ClassQuality(Quality):
    """Those of one class, with its number of images."""

    n: int


class Evaluation(Record):
    """One on the test images; the rows of the matrix are true classes, its columns predicted.

    Attributes:
        macro: Over the classes that have test images; until 0.1.0 over all of them.
    """

    accuracy: float
    interval_95: tuple[float, float]
    n: int
    calibration_error: float
    macro: Quality
    per_class: dict[str, ClassQuality]
    confusion_matrix: list[list[int]]

    @property
    def tested(self) -> dict[str, ClassQuality]:
        """The classes that have test images: of the others nothing is known."""
        return {name: quality for name, quality in self.per_class.items() if quality.n}

    @property
    def untested(self) -> tuple[str, ...]:
        """The classes without test images."""
        return tuple(name for name, quality in self.per_class.items() if not quality.n)

    @property
    def unequal(self) -> bool:
        """Whether classes have different numbers of test images, so that accuracy may flatter."""
        return len({quality.n for quality in self.tested.values()}) > 1

    @property
    def macro_tested(self) -> Quality:
        """`macro` over the classes that have test images, whichever version wrote it."""
        return Quality.mean(self.tested.values()) if self.untested else self.macro

    @property
    def never_predicted(self) -> tuple[str, ...]:
        """The tested classes that the model names for no test image."""
        named = [sum(column) for column in zip(*self.confusion_matrix, strict=True)]
        counted = zip(self.per_class.items(), named, strict=True)
        return tuple(name for (name, quality), n in counted if quality.n and not n)

    @property
    def never_found(self) -> tuple[str, ...]:
        """The tested classes that are predicted, but for none of their own images."""
        unnamed = set(self.never_predicted)
        found = self.tested.items()
        return tuple(name for name, q in found if q.recall == 0 and name not in unnamed)


class Calibration(Record):
    """What the last layer was divided by, and the calibration error if it had not been."""

    temperature: float = 1.0
    error_before: float = 0.0


class FamiliarityFacts(Record):
    """Share in [0, 1] of `n` test images that are further from the training images than `limit`.

    The limit was chosen, on other images, to be exceeded by the share `wanted`.
    """

    limit: float
    wanted: float
    share: float
    n: int


class SuspectLabel(Record):
    """A held-out picture whose label is probably wrong.

    Attributes:
        path: Of its file, relative to the data set's root.
        label: The class that it is given.
        predicted: The class that it looks like.
        label_probability: What the trainings, on average, gave the former.
        predicted_probability: What they gave the latter.
        wrong: The probability in [0, 1] that the label is wrong.
    """

    path: str
    label: str
    predicted: str
    label_probability: float
    predicted_probability: float
    wrong: float


class LabelErrors(Record):
    """Probably wrong labels among `n` held-out pictures.

    Attributes:
        noise: The estimated share of wrong labels in all held-out pictures.
        found: How many pictures are probable label errors; the first of them are `listed`.
        expected: How many of `found` are expected to be wrong indeed.
        listed: Most probable first.
    """

    n: int
    noise: float
    found: int
    expected: float
    listed: tuple[SuspectLabel, ...]

    def in_words(self) -> str:
        """How many there are, and what to make of that."""
        if not self.found:
            return f"none found in {self.n} held-out images"
        real = "fewer than 1" if self.expected < 1 else f"about {self.expected:.0f}"
        return (
            f"{self.found} of {self.n} held-out images, {real} of them expected to be wrong "
            f"indeed: metrics.json names them, look at them"
        )


def class_warnings(test: Evaluation) -> Iterator[str]:
    """What must be said loudly wherever the model's accuracy is told, a sentence each."""
    count = len(test.tested)
    for names, what in (
        (test.never_predicted, "never predicted"),
        (test.never_found, "predicted, but never for a test image of their own (recall 0)"),
    ):
        if names:
            are = "is" if len(names) == 1 else "are"
            which = _sized(names, test.tested)
            yield f"{len(names)} of {count} classes {are} {what}: {which}"


def left_out(test: Evaluation) -> str | None:
    """Which classes the figures cannot speak of; None if all have test images."""
    if not (names := test.untested):
        return None
    has = "has" if len(names) == 1 else "have"
    return (
        f"{len(names)} of {len(test.per_class)} classes {has} no test images, so macro figures "
        f"leave them out: {listed(names)}"
    )


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _sized(names: Sequence[str], classes: Mapping[str, ClassQuality]) -> str:
    """The first names with their test images, the largest classes first."""
    order = sorted(names, key=lambda name: -classes[name].n)
    return listed([f"{name} (n = {classes[name].n})" for name in order])
