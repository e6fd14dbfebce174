"""The first lines of a search: what will happen, on what, for how long, and where it goes."""

from collections.abc import Iterator

from records.words import duration
from search.display.counts import Counts
from search.plan import Plan
from search.workers.tasks import Machine


def introduce(
    plan: Plan, machine: Machine, workers: int, speed: float | None, counts: Counts
) -> Iterator[str]:
    """The plan, a line per topic.

    Args:
        plan: The search.
        machine: What trains here.
        workers: How many processes.
        speed: Images per second of the default configuration; None when nothing is left to train.
        counts: Where the study stands.
    """
    config, data = plan.config, plan.data
    state = f"{counts.done} of {config.trials} trials done" if counts.done else "new"
    yield f"study   {plan.name} ({state}) in {plan.folder}"
    topics = dict(plan_lines(plan))
    yield f"data    {topics['data']}"
    if data.skipped:
        yield f"        {len(data.skipped)} unreadable images left out: {', '.join(data.skipped)}"
    precision = plan.training.precision
    yield (
        f"device  {machine.device}, {machine.precision if precision == 'auto' else precision}, "
        f"{workers} worker{'s' if workers > 1 else ''}"
    )
    yield f"recipe  {topics['recipe']}"
    yield f"search  {topics['search']}"
    for key, value in plan.outside.items():
        yield (
            f"        {key} = {value} lies outside the space, so not even the first trial has it; "
            f'[space] fixed = ["{key}"] would keep it'
        )
    yield f"job     {topics['job']}"
    if speed is not None:
        yield f"time    {_estimate(plan, workers, speed, counts)}"


def plan_lines(plan: Plan) -> list[tuple[str, str]]:
    """What the search set out to do, by topic; the same wherever it runs."""
    config, data = plan.config, plan.data
    return [
        (
            "data",
            f"{data.name}: {plan.train_count:,} training, {plan.validation_count:,} validation, "
            f"{data.test.count:,} test images of {len(data.classes)} classes, "
            f"{data.image_size}x{data.image_size}",
        ),
        ("recipe", f"{config.recipe}: {plan.training.describe()}"),
        (
            "search",
            f"{', '.join(plan.space.parameters)} (space {plan.space.name}), sampler "
            f"{config.study.sampler}, pruner {config.study.pruner}",
        ),
        (
            "job",
            f"{config.trials} trials, then {config.confirm.top} x {config.confirm.seeds} "
            f"confirmations, final training on {plan.train_count + plan.validation_count:,} "
            f"images, one test",
        ),
    ]


def _estimate(plan: Plan, workers: int, speed: float, counts: Counts) -> str:
    """A bound from above: pruning and lighter networks than the default make it less."""
    # Validation is a forward pass, about a third of a training step.
    images = plan.train_count + plan.validation_count / 3
    each = plan.training.epochs * images / speed
    trials = plan.config.trials - counts.done
    after = plan.config.confirm.top * plan.config.confirm.seeds
    total = each * (trials + after) / workers + each
    return (
        f"about {duration(total)} at {speed:,.0f} images/s, {duration(each)} per full training; "
        f"less what pruning saves"
    )
