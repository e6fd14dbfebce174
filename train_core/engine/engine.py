"""`Engine`: buffers and step of one shape, reused by every training of that shape.

Nothing in a step waits for the device or depends on the host: hyperparameters, the schedule, the
order of the images and the counters are all tensors on the device.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from train_core.config import TrainConfig
from train_core.engine.augment import augment, draw, flips
from train_core.engine.buffers import Buffers, EngineShape, network_on
from train_core.engine.captures import WARM_UP, Captures
from train_core.engine.curriculum import sides_of
from train_core.engine.feed import Feed
from train_core.engine.flat import FlatState
from train_core.engine.frozen.probe import put_head
from train_core.engine.frozen.regression import LinearHead
from train_core.engine.optimizers import Rates, average_table, build_optimizer, lr_table
from train_core.engine.passes import compiled, loss_and_logits
from train_core.images import ImageData
from train_core.images.mixing import Mixing
from train_core.images.off_device import OffDevice


class Engine(Buffers):
    """Trains one network shape on one data set; call `start` before the first epoch.

    Attributes:
        average: The network with the averaged weights and batch statistics, in evaluation mode.
        steps_per_epoch: Whole batches in the training part, at least 1.
        images_per_epoch: Images in them, some of them more than once if there are few.
        sides: Side in pixels at which every epoch of the started training sees the images.

    Args:
        shape: What decides the buffers.
        data: What to learn from.
        captures: What records the step, if the shape says so.
    """

    def __init__(
        self, shape: EngineShape, data: ImageData, captures: Captures | None = None
    ) -> None:
        super().__init__(shape, data)
        assert captures or not shape.cuda_graph, "somebody has to record the step"
        self._captures = captures if shape.cuda_graph else None
        self.steps_per_epoch = max(1, len(data.train) // shape.batch_size)
        self.images_per_epoch = self.steps_per_epoch * shape.batch_size
        self._live = network_on(shape.network, data.device).train()
        self._state = FlatState(self._live, trained=True)
        self._average_state = FlatState(self.average, trained=False)
        # Where all weights learn alike, there is nothing to multiply.
        staged = shape.method == "fine_tune"
        if staged:
            self._live.freeze(shape.frozen_stages)
        self._shares = torch.ones_like(self._state.weights) if staged else None
        self._optimizer = build_optimizer(shape.optimizer, self._live, self._state, self._shares)
        self._random = torch.Generator(data.device)
        self._live.expect(shape.batch_size)
        names = ("lr", "momentum", "weight_decay", "label_smoothing", "augment")
        self._settings = {name: torch.zeros((), device=data.device) for name in names}
        self._step, self._epoch = torch.zeros(2, dtype=torch.int64, device=data.device)
        self._loss, self._hits = torch.zeros(2, device=data.device)
        self._batch = torch.arange(shape.batch_size, device=data.device)
        # A captured step finds everything where it was when it was captured.
        self._order = torch.zeros(self.images_per_epoch, dtype=torch.int64, device=data.device)
        self._phase = torch.zeros(len(data.train), device=data.device)
        self._lr_table = self._mix_table = torch.zeros(0, device=data.device)
        self._loss_of = compiled(loss_and_logits) if shape.compile else loss_and_logits
        self._replays: dict[int, Callable[[], None]] = {}  # By the side of the images.
        self._side = shape.view.side
        self.sides, self._seen, self._epochs = [self._side], self.normalisation, 0
        count, device = len(data.classes), data.device
        self._mixing = Mixing(shape.batch_size, count, device) if shape.mixed else None
        images = data.train.images
        self._feed = Feed(images, shape.batch_size) if isinstance(images, OffDevice) else None

    def start(self, config: TrainConfig) -> None:
        """Begin a new training in the buffers of the last one."""
        self._begin(config)
        missing = {*self.sides} - self._replays.keys() if self._captures else set()
        # The largest first: what it has needed, the others find free.
        for side in sorted(missing, reverse=True):
            self.see(side)
            self.shuffle()
            assert self._captures is not None
            self._replays[side] = self._captures.record(self._train_step, self._random)
            # Capturing has trained a few steps.
            self._begin(config)

    def start_from(self, head: LinearHead) -> None:
        """Give the started network the last layer of another training, before its first step."""
        for network in (self._live, self.average):
            put_head(network.head, head)

    def _begin(self, config: TrainConfig) -> None:
        weights = torch.Generator().manual_seed(config.seed)
        self._random.manual_seed(config.seed)
        self._live.reset(weights, self._filters)
        self.set_weights(self._live, config)
        self._average_state.state.copy_(self._state.state)
        self._optimizer.reset()
        share = config.batch_size / 1024  # What `lr` and `weight_decay` refer to.
        # Muon's step is an angle and Adam's a share of the weights: noise aside, they do not
        # grow with the batch, but the rule is one for all so that spaces stay comparable.
        scales = {"lr": share, "weight_decay": share}
        for name, setting in self._settings.items():
            setting.fill_(getattr(config, name) * scales.get(name, 1))
        self._live.set_rates(config.dropout, config.drop_path)
        if self._mixing is not None:
            self._mixing.begin(config, self.data.train.labels)
        if self._shares is not None:
            shares = self._live.learning_shares(config.backbone_lr, config.layer_decay)
            self._shares.copy_(self._state.spread(shares))
        self._set_tables(config)
        self._phase.uniform_(generator=self._random)
        self._step.zero_()
        self._epoch.zero_()
        self.sides = sides_of(config.curriculum, self.shape.view.side, config.epochs)
        self._epochs = 0
        self.see(self.sides[0])

    def see(self, side: int) -> None:
        """From the next step on, see the images at this size, whichever the epoch's is."""
        self._side = side
        # Mean and deviation stay the tensors that the weights may change.
        self._seen = replace(self.normalisation, view=replace(self.shape.view, side=side))

    @cached_property
    def _filters(self) -> Tensor:
        if self.shape.view == self.data.view(None):
            return self.data.filters
        return self.data.filters_in(self.shape.view)

    def run_epoch(self) -> tuple[float, float, float]:
        """Train for one epoch: mean loss in nats per example, accuracy, last learning rate.

        Reading them is the only time that the host waits for the device.
        """
        self.see(self.sides[self._epochs])
        self.shuffle()
        self.run_steps(self.steps_per_epoch)
        self._epoch += 1
        self._epochs += 1  # The same, where it can be read without waiting for the device.
        lr = self._lr_table.take(self._step - 1) * self._settings["lr"]
        loss, hits, rate = torch.stack([self._loss, self._hits, lr]).tolist()
        return loss / self.steps_per_epoch, hits / self.images_per_epoch, rate

    def snapshot(self) -> dict[str, Tensor]:
        """Copies on the CPU of all that lives on from one epoch to the next, by name."""
        copies = {name: tensor.to("cpu", copy=True) for name, tensor in self._lasting().items()}
        return copies | {"random": self._random.get_state()}

    def restore(self, snapshot: Mapping[str, Tensor]) -> None:
        """Go back to a snapshot of a training with the config that was started last."""
        self._random.set_state(snapshot["random"])
        for name, tensor in self._lasting().items():
            tensor.copy_(snapshot[name])
        self._epochs = int(snapshot["epoch"])

    def _lasting(self) -> dict[str, Tensor]:
        return {
            "state": self._state.state, "average": self._average_state.state,
            "phase": self._phase, "step": self._step, "epoch": self._epoch,
            **self._optimizer.buffers,
        }  # fmt: skip

    def shuffle(self) -> None:
        """Put the images in a random order, again and again until they fill all batches."""
        count = len(self.data.train)
        orders = [
            torch.randperm(count, device=self.data.device, generator=self._random)
            for _ in range(-(-self.images_per_epoch // count))
        ]
        self._order.copy_(torch.cat(orders)[: self.images_per_epoch])
        if self._feed is not None:
            self._feed.begin(self._order)
        self._loss.zero_()
        self._hits.zero_()

    def run_steps(self, count: int) -> None:
        """Train for the next `count` steps; after the last image comes the first one again."""
        step = self._replays.get(self._side, self._train_step)
        for _ in range(count):
            if self._feed is not None:
                self._feed.advance()
            step()

    def _set_tables(self, config: TrainConfig) -> None:
        total = config.epochs * self.steps_per_epoch
        # Before a capture, a few steps run however short the training is.
        length = max(total, WARM_UP)
        if length != len(self._lr_table):
            self._lr_table, self._mix_table = torch.zeros(2, length, device=self.data.device)
            self._replays.clear()
        factors = lr_table(config.schedule, total, config.warmup, config.final_lr)
        self._lr_table[:total].copy_(torch.tensor(factors))
        self._mix_table[:total].copy_(torch.tensor(average_table(config.ema, total)))

    def _train_step(self) -> None:
        images, labels = self._next_batch()
        self._live.draw(self._random)
        smoothing = self._settings["label_smoothing"]
        targets = labels if self._mixing is None else self._mixing.targets(labels)
        loss, logits = self._loss_of(self._live, images, targets, smoothing)
        self._state.gradients.zero_()
        loss.backward()
        self._update()
        with torch.no_grad():
            self._loss += loss
            self._hits += (logits.argmax(1) == labels).sum()

    @torch.no_grad()
    def _next_batch(self) -> tuple[Tensor, Tensor]:
        """Augmented images `(B, 3, H, W)` in the working precision, and their labels `(B,)`."""
        start = (self._step % self.steps_per_epoch) * self.shape.batch_size
        chosen = self._order[start + self._batch]
        strength = self._settings["augment"]
        flipped = flips(self._phase[chosen], self._epoch, strength) & self.data.mirror
        draws = draw(len(chosen), self.data.device, self._random)
        plain = self.data.train.images[chosen] if self._feed is None else self._feed.batch
        images = augment(plain, flipped, draws, strength, self._seen)
        if self._mixing is not None:
            images = self._mixing.mix(images, self._random)
        # Narrowing first halves what the change of layout has to move.
        ready = images.to(self.shape.dtype).contiguous(memory_format=torch.channels_last)
        return ready, self.data.train.labels[chosen]

    @torch.no_grad()
    def _update(self) -> None:
        factor, settings = self._lr_table.take(self._step), self._settings
        lr, decay = settings["lr"] * factor, settings["weight_decay"] * factor
        self._optimizer.step(Rates(lr, settings["momentum"], decay))
        self._average_state.state.lerp_(self._state.state, self._mix_table.take(self._step))
        self._step += 1
