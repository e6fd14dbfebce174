"""The model card: what the exported model is, how good it is, how it is used."""

from pathlib import Path

from records.files import write_whole
from records.metrics import Metrics, figures, write_metrics
from records.words import value

_CARD = """\
# Image classifier for {m.data.name}

{m.test.accuracy:.2%} right on {m.test.n} test images
that neither the training nor the search had seen.

| figure | value |
| --- | --- |
{figures}

Found by convsearch {m.versions[convsearch]}: {trials} trials ({m.search.pruned} of them pruned),
the best {m.search.candidates} of them confirmed with {m.confirmed.n} fresh seeds each. The winner,
trial {m.trial}, was then trained on all {m.data.train.count} training images and tested once.
{extended}

## What it is

A {m.training[network]} of width {m.training[width]} and depth {m.training[depth]} with
{m.parameters:,} parameters, for {side}x{side} RGB images of {class_count} classes: {classes}.

Searched parameters: {params}.

## How to use it

```python
import numpy as np, onnxruntime
from PIL import Image

images = np.asarray(Image.open("picture.jpg").convert("RGB").resize(({side}, {side})))[None]
session = onnxruntime.InferenceSession("model.onnx")
probabilities, embedding = session.run(None, {{"images": images}})
```

`model.onnx` takes uint8 images `(batch, {side}, {side}, 3)`; the normalisation is inside. Its
probabilities differ from PyTorch's by {difference:.0e} at most. To train the model again:
`python -m train_core.run config.toml --test`{temperature}.

## What to keep in mind

The model only knows the classes above and always names one of them. Its confidence is off by
{m.test.calibration_error:.1%} on average (expected calibration error). The accuracy holds for
images like the test set's.
"""


def describe(folder: Path, metrics: Metrics) -> None:
    """Write what is said about the model: `metrics.json`, and the card made from it."""
    write_metrics(folder, metrics)
    write_whole(folder / "README.md", model_card(metrics))


def model_card(metrics: Metrics) -> str:
    """The card as Markdown."""
    return _CARD.format(
        m=metrics,
        side=metrics.data.image_size,
        figures="\n".join(f"| {name} | {text} |" for name, text in figures(metrics)),
        trials=metrics.search.complete + metrics.search.pruned,
        extended=_extended(metrics.search.test_evaluations),
        class_count=len(metrics.data.classes),
        classes=", ".join(metrics.data.classes),
        params=", ".join(f"{name} = {value(given)}" for name, given in metrics.params.items()),
        difference=max(metrics.onnx_difference or 0.0, 1e-9),
        temperature=_temperature(metrics.calibration.temperature),
    )


def _temperature(temperature: float) -> str:
    if temperature == 1.0:
        return ""
    return (
        f"; its last layer is not yet divided by the temperature of\n"
        f"{temperature:.4g} that was chosen on held-out images"
    )


def _extended(evaluations: int) -> str:
    if evaluations <= 1:
        return ""
    return (
        f"The search was extended after an earlier test: this is test evaluation number "
        f"{evaluations}, so the accuracy is slightly optimistic."
    )
