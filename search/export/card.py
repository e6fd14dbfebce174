"""The model card: what the exported model is, how good it is, how it is used."""

from typing import Any

_CARD = """\
# Image classifier for {data_name}

{test} on {n} test images that neither the training nor the search had seen.

| figure | value |
| --- | --- |
{figures}

Found by convsearch {version}: {trials} trials ({pruned} of them pruned), the best {candidates} of
them confirmed with {seeds} fresh seeds each. The winner, trial {trial}, was then trained on all
{train_count} training images and tested once.{looks}

## What it is

{description} with {parameters:,} parameters, for {size}x{size} RGB images of {class_count}
classes: {classes}.

Searched parameters: {params}.

## How to use it

```python
import numpy as np, onnxruntime
from PIL import Image

images = np.asarray(Image.open("picture.jpg").convert("RGB").resize(({size}, {size})))[None]
session = onnxruntime.InferenceSession("model.onnx")
probabilities, embedding = session.run(None, {{"images": images}})
```

`model.onnx` takes uint8 images `(batch, {size}, {size}, 3)`; the normalisation is inside. Its
probabilities differ from PyTorch's by {difference:.0e} at most. To train the model again:
`python -m train_core.run config.toml --test`{temperature}.

## What to keep in mind

The model only knows the classes above and always names one of them. Its confidence is off by
{calibration} on average (expected calibration error). The accuracy holds for images like the test
set's.
"""


def model_card(metrics: dict[str, Any]) -> str:
    """The card as Markdown.

    Args:
        metrics: The content of `metrics.json`.
    """
    test, search, data = metrics["test"], metrics["search"], metrics["data"]
    training = metrics["training"]
    return _CARD.format(
        data_name=data["name"],
        test=f"{test['accuracy']:.2%} right",
        n=test["n"],
        figures="\n".join(f"| {name} | {value} |" for name, value in figures(metrics)),
        version=metrics["versions"]["convsearch"],
        trials=search["complete"] + search["pruned"],
        pruned=search["pruned"],
        candidates=search["candidates"],
        seeds=metrics["confirmed"]["n"],
        trial=metrics["trial"],
        train_count=data["train"]["count"],
        looks=_looks(search["test_evaluations"]),
        description=f"A {training['network']} of width {training['width']} and depth "
        f"{training['depth']}",
        parameters=metrics["parameters"],
        size=data["image_size"],
        class_count=len(data["classes"]),
        classes=", ".join(data["classes"]),
        params=", ".join(
            f"{name} = {_number(value)}" for name, value in metrics["params"].items()
        ),
        difference=max(metrics["onnx_difference"], 1e-9),
        temperature=_temperature(metrics),
        calibration=f"{test['calibration_error']:.1%}",
    )


def figures(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures that matter, in words: from what the search claimed to what the test says."""
    test, confirmed = metrics["test"], metrics["confirmed"]
    low, high = test["interval_95"]
    spread = "" if confirmed["std"] is None else f" ± {confirmed['std']:.2%}"
    rows = [
        ("validation accuracy in the search", f"{metrics['validation']['accuracy']:.2%}"),
        ("confirmed with fresh seeds", f"{confirmed['mean']:.2%}{spread} (n = {confirmed['n']})"),
        ("selection gap (luck of the search)", f"{metrics['selection_gap'] * 100:+.2f} points"),
        (
            "test accuracy",
            f"{test['accuracy']:.2%} (95 % interval {low:.2%} to {high:.2%}, n = {test['n']})",
        ),
    ]
    if "test_tta" in metrics:
        rows.append(("with mirrored views averaged", f"{metrics['test_tta']['accuracy']:.2%}"))
    macro = test["macro"]
    rows.append(
        ("macro precision, recall, F1", ", ".join(f"{value:.2%}" for value in macro.values()))
    )
    rows.append(("calibration error", f"{test['calibration_error']:.2%}{_before(metrics)}"))
    return rows


def _before(metrics: dict[str, Any]) -> str:
    """What calibration has done; nothing for models from before there was any."""
    done = metrics.get("calibration", {"temperature": 1.0})
    if done["temperature"] == 1.0:
        return ""
    return f" ({done['error_before']:.2%} before temperature {done['temperature']:.2f})"


def _temperature(metrics: dict[str, Any]) -> str:
    if not _before(metrics):
        return ""
    return (
        f"; its last layer is not yet divided by the temperature of\n"
        f"{metrics['calibration']['temperature']:.4g} that was chosen on held-out images"
    )


def _looks(count: int) -> str:
    if count <= 1:
        return ""
    return (
        f" The search was extended after an earlier test: this is look number {count} at the test "
        f"set, so the figure is slightly optimistic."
    )


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
