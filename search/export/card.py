"""The model card: what the exported model is, how good it is, how it is used."""

from collections.abc import Iterator
from pathlib import Path

from records.evaluation import Evaluation, class_warnings
from records.files import write_whole
from records.metrics import Metrics, figures, write_metrics
from records.words import network_of, value

_CARD = """\
# Image classifier for {m.data.name}

{m.test.accuracy:.2%} right on {m.test.n} test images
{unseen}.{beside}

| figure | value |
| --- | --- |
{figures}

Found by convsearch {m.versions[convsearch]}: {trials} trials ({m.search.pruned} of them pruned),
the best {m.search.candidates} of them confirmed with {m.confirmed.n} fresh seeds each. The winner,
trial {m.trial}, was then trained on all {m.data.train.count} training images and tested once.
{extended}

## What it is

A {network} with
{m.parameters:,} parameters, for {side}x{side} RGB images of {class_count} classes: {classes}.
{weights}
Searched parameters: {params}.

{data}## How to use it

{snippet}
`model.onnx` takes uint8 images `(batch, {side}, {side}, 3)`; the normalisation is inside. Its
probabilities differ from PyTorch's by {difference:.0e} at most. To train the model again:
`python -m train_core.run config.toml --test`{temperature}.{seen}{explained}

## What to keep in mind

The model only knows the classes above and always names one of them. Its confidence is off by
{m.test.calibration_error:.1%} on average (expected calibration error). The accuracy holds for
images like the test set's.
"""

# The steps of `records.pixels`, for those who have nothing of this project.
_SNIPPET = """\
```python
import numpy as np, onnxruntime
from PIL import Image, ImageOps

picture = Image.open("picture.jpg")
picture.draft("RGB", ({twice}, {twice}))  # a large JPEG is read at a fraction of its size
picture = ImageOps.exif_transpose(picture)  # upright
if picture.mode == "I;16":  # grey with 8, 10, 12, 14 or 16 bits, stored in 16
    levels = np.array(picture)
    full = next(2**bits - 1 for bits in (8, 10, 12, 14, 16) if levels.max() < 2**bits)
    full = full if (levels % 257).any() else 65535
    levels[levels == picture.info.get("transparency")] = full
    picture = Image.fromarray(np.rint(levels * 255.0 / full).astype("uint8"))
white = Image.new("RGBA", picture.size, "white")
picture = Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
{square}

session = onnxruntime.InferenceSession("model.onnx")
probabilities, embedding = session.run(None, {{"images": np.asarray(picture)[None]}})
```

These are the steps of the training. Colours with 16 bits that are dark or transparent, and files
that name their depth, take more: `python -m serve.predict` reads them too.
"""


_SQUARES = {
    "crop": """\
# Its centre square.
picture = ImageOps.fit(picture, ({side}, {side}), Image.Resampling.BICUBIC)""",
    "squash": """\
picture = picture.resize(({side}, {side}), Image.Resampling.BICUBIC)""",
    "pad": """\
if picture.size != ({side}, {side}):  # all of it, beside it the mean colour of its border
    size = [max(1, round(length * {side} / max(picture.size))) for length in picture.size]
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    pixels = np.asarray(picture)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    square = Image.new("RGB", ({side}, {side}), tuple(border.mean(0).round().astype(int).tolist()))
    square.paste(picture, (({side} - size[0]) // 2, ({side} - size[1]) // 2))
    picture = square""",
}
_SEEN = "\nThe model looks at the {crop}x{crop} pixels in the middle of its input{then}."

_BEGUN = """
Its training began with weights of others: {w.source}
(licence: {w.licence}; sha256 {w.sha256}).
"""


def describe(folder: Path, metrics: Metrics) -> None:
    """Write what is said about the model: `metrics.json`, and the card made from it."""
    side = metrics.data.image_size
    evaluations, temperature = metrics.search.test_evaluations, metrics.calibration.temperature
    begun = metrics.weights
    extended = (
        f"The search was extended after an earlier test: this is test evaluation number "
        f"{evaluations}, so the accuracy is slightly optimistic."
    )
    divided = (
        f"; its last layer is not yet divided by the temperature of\n"
        f"{temperature:.4g} that was chosen on held-out images"
    )
    card = _CARD.format(
        m=metrics,
        side=side,
        snippet=_SNIPPET.format(
            side=side, twice=2 * side, square=_SQUARES[metrics.data.fit].format(side=side)
        ),
        seen=_seen(metrics),
        beside="".join(_beside(metrics.test)),
        figures="\n".join(f"| {name} | {_cell(text)} |" for name, text in figures(metrics)),
        trials=metrics.search.complete + metrics.search.pruned,
        extended=extended if evaluations > 1 else "",
        class_count=len(metrics.data.classes),
        classes=", ".join(metrics.data.classes),
        network=network_of(metrics.training),
        weights="" if begun is None else _BEGUN.format(w=begun),
        params=", ".join(f"{name} = {value(given)}" for name, given in metrics.params.items()),
        difference=max(metrics.onnx_difference or 0.0, 1e-9),
        unseen=_unseen(metrics),
        data=_data(metrics),
        explained=_explained(metrics),
        temperature=divided if temperature != 1.0 else "",
    )
    write_metrics(folder, metrics)
    write_whole(folder / "README.md", card)


def _seen(metrics: Metrics) -> str:
    """What of its input the model looks at, where that is not all of it."""
    side, crop = metrics.data.image_size, metrics.data.crop_size or metrics.data.image_size
    work = metrics.training.get("resolution") or crop
    if (crop, work) == (side, side):
        return ""
    return _SEEN.format(crop=crop, then="" if work == crop else f", made {work}x{work}")


def _data(metrics: Metrics) -> str:
    """What was found in the data, if that was looked at."""
    found = metrics.data.findings
    lines = "\n".join(f"- {line}" for line in found.lines()) if found else ""
    return f"## The data\n\n{lines}\n\n" if lines else ""


def _explained(metrics: Metrics) -> str:
    """Whether it can show where it looks, and how."""
    if metrics.maps is None or isinstance(metrics.maps, str):
        return f"\n\nIt cannot show where it looks: {metrics.maps}." if metrics.maps else ""
    height, width = metrics.maps
    return (
        f"\n\n`python -m serve.predict --explain FOLDER` shows where it looks: class-activation\n"
        f"maps (Zhou et al., 2016) of {height} x {width} places. `model.onnx` computes them as\n"
        f"`activation`, which is not among its outputs until somebody declares it."
    )


def _unseen(metrics: Metrics) -> str:
    """Whether the test images were new to the model."""
    found = metrics.data.findings
    between = found.copies_between if found else {}
    # A test image may have copies in both.
    n = max((n for parts, n in between.items() if parts.endswith("and test")), default=0)
    if not n:
        return "that neither the training nor the search had seen"
    rest = metrics.test_without_copies
    right = f": {rest.accuracy:.2%} right on the {rest.n} others" if rest else ""
    return f"of which {n} are copies of images that it was trained on{right}"


def _beside(test: Evaluation) -> Iterator[str]:
    """What must not be missing beside the accuracy."""
    if test.unequal:
        yield (
            f"\nThe classes differ in size; with each counting alike (macro recall), it is "
            f"{test.macro_tested.recall:.2%}."
        )
    for warning in class_warnings(test):
        yield f"\n\n> **Warning: {_cell(warning)}.**"


def _cell(text: str) -> str:
    """Text with names that people chose, for a table."""
    return text.replace("|", "\\|")
