"""`StudyConfig`: where the study is kept, and who proposes and prunes trials."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from records.words import COSTS, OBJECTIVES, Cost, Objective

SamplerName = Literal["tpe", "gp", "cmaes", "qmc", "random"]
PrunerName = Literal["median", "percentile", "hyperband", "successive-halving", "promote", "none"]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

_FOR_SEVERAL = ("tpe", "gp", "qmc", "random")
# Those that hold a trial against complete ones, which can be those that cost no more.
_AMONG_THE_CHEAPER = ("median", "percentile", "none")


class StudyConfig(BaseModel):
    """The `[study]` section. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Name of the study and of its folder; None = data set and recipe, such as `cifar10-cpu`."""

    storage: str | None = Field(default=None, min_length=1)
    """URL of the Optuna storage; None = SQLite in the study's folder."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of the split, the sampler and all trainings."""

    sampler: SamplerName = "tpe"
    """Who proposes trials: `tpe`, `gp` (Gaussian process), `cmaes`, `qmc` (Sobol), `random`."""

    pruner: PrunerName = "median"
    """Who stops trials that fall behind; `promote` pauses them, `none` = nobody."""

    objective: Objective = "accuracy"
    """What trials are chosen by, on validation images: `accuracy`, `balanced_accuracy` (mean
    recall of the classes), `macro_f1` (mean F1) or `log_loss` (lowest)."""

    objectives: list[Objective | Cost] = Field(default_factory=list)
    """Several at once: first what trials are chosen by, as `objective`, then what is kept low:
    `parameters`, `latency`, `train_seconds`; none = the objective alone."""

    startup_trials: int = Field(default=10, ge=0)
    """Complete trials before `median` and `percentile` prune; random trials before `tpe` and `gp`
    model."""

    prune_after: Share = 1 / 6
    """Share of the epochs in which no trial is pruned, and between two looks at it, in [0, 1];
    with `promote` up to the first rung, where trials are paused."""

    reduction: int = Field(default=3, ge=2, le=1000)
    """With `promote`, `hyperband` and `successive-halving`: one in so many trials goes on from a
    rung, to one that is so many times as far."""

    keep: Share = 0.75
    """Share of the complete trials that a trial must not fall behind with `percentile`: at 0.75,
    only the worst quarter is pruned."""

    audit: Share = 0.0
    """Share of the trials that are finished even where the pruner would stop them, so that the
    report can say what pruning lost."""

    stop: Literal["trials", "plateau"] = "trials"
    """When no further trial starts: `trials` = when there are enough; `plateau` = also when 20
    more are expected to bring less than `least_gain`."""

    least_gain: Share = 0.001
    """With `plateau`: the expected gain of 20 more trials, in [0, 1], below which none starts."""

    continue_from: str | None = Field(default=None, min_length=1)
    """Another study beside this one, whose trials are taken over where they fit the space."""

    warm_start: list[str] = Field(default_factory=list)
    """Other studies beside this one, on any data, whose best points come first."""

    trial_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Seconds of training, validation not included, after which a trial is pruned when its epoch
    ends; None = never."""

    @property
    def costs(self) -> tuple[str, ...]:
        """What is kept low beside the objective."""
        return tuple(self.objectives[1:])

    @model_validator(mode="before")
    @classmethod
    def _first_is_the_objective(cls, values: Any) -> Any:
        """The first of several is the objective, for all who only know one."""
        several = values.get("objectives") if isinstance(values, dict) else None
        if isinstance(several, list) and several and several[0] in OBJECTIVES:
            return {"objective": several[0], **values}
        return values

    @model_validator(mode="after")
    def _several_work(self) -> Self:
        if not self.objectives:
            return self
        first, *rest = self.objectives
        if first not in OBJECTIVES or set(rest) - {*COSTS} or len({*rest}) < len(rest):
            raise ValueError(
                f"objectives must be one of {', '.join(OBJECTIVES)}, and then different ones of "
                f"{', '.join(COSTS)}, but got {', '.join(self.objectives)}"
            )
        if first != self.objective:
            raise ValueError(
                f"the first of objectives must be the objective, but got objective "
                f"'{self.objective}' and objectives that begin with '{first}': leave one out"
            )
        if rest and self.sampler not in _FOR_SEVERAL:
            raise ValueError(
                f"with several objectives, sampler must be one of {', '.join(_FOR_SEVERAL)}, but "
                f"got '{self.sampler}', which takes one"
            )
        if rest and self.pruner not in _AMONG_THE_CHEAPER:
            raise ValueError(
                f"with several objectives, pruner must be one of {', '.join(_AMONG_THE_CHEAPER)}, "
                f"but got '{self.pruner}', which compares trials by one"
            )
        return self

    @model_validator(mode="after")
    def _something_is_pruned(self) -> Self:
        if self.audit and self.pruner == "none":
            raise ValueError(
                f"audit finishes trials that the pruner would stop, so it must be 0 with pruner "
                f"'none', but got {self.audit:g}: leave it out, or name a pruner under [study]"
            )
        return self

    @model_validator(mode="after")
    def _pair_works(self) -> Self:
        # Both model complete trials only: with a pruner, most of what they paid for is lost.
        if self.sampler in ("gp", "cmaes") and self.pruner != "none":
            raise ValueError(
                f"sampler '{self.sampler}' learns nothing from pruned trials, so it must go with "
                f"pruner 'none', but got pruner '{self.pruner}': set pruner = 'none' or "
                f"sampler = 'tpe' under [study]"
            )
        return self
