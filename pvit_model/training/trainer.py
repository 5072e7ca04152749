"""The training loop: batches in, steps, validations, checkpoints and a log out.

Plain PyTorch; accelerate gives device, precision and gradient synchronisation (one process, or DDP under torchrun).
Everything random derives from (seed, step, rank), so a checkpoint needs the step number and no generator state, and a
resumed run is bit-equal to one that never stopped (on CPU).
"""

from __future__ import annotations

import faulthandler
import resource
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console

from pvit_data.errors import Interrupted, PvitError
from pvit_data.loading.batch import Batch
from pvit_data.loading.loader import loader
from pvit_data.loading.run import Loader
from pvit_data.looking.pictures import png
from pvit_model.network.total_loss import UncertaintyWeights
from pvit_model.recipes.plan import Plan
from pvit_model.recipes.schedule import lr_at, peak_lr
from pvit_model.reporting.examples import run_examples
from pvit_model.reporting.report import write_report
from pvit_model.reporting.view import View, make_view
from pvit_model.runs import checkpoint, folder
from pvit_model.runs.log import MetricsLog
from pvit_model.runs.mirrors import check_mirrors
from pvit_model.runs.resume import Start, start_of
from pvit_model.training import optim, sharded
from pvit_model.training.build import announcement, build_network
from pvit_model.training.engine import make_accelerator, release
from pvit_model.training.mixup import mixer_of
from pvit_model.training.progress import Clock, Progress, TrainResult, seed_all, step_seed
from pvit_model.training.signals import StopRequest
from pvit_model.training.step import StepOptions, Stepper, StepResult
from pvit_model.training.validate import Validator, best_metric, flatten, report_lines
from pvit_model.using.source_report import SourceReport

if TYPE_CHECKING:
    from accelerate import Accelerator

BALANCE = "loss_balance"
STOPPING = "\nstopping after this step, then a checkpoint is saved; a second signal ends at once\n"
"""What the learned factors of the losses are called in the optimiser's state."""


class Trainer:
    """One run. Build it, then call `run`.

    Args:
        plan: what to train on what.
        out: the run's folder.
        console: where progress is shown.
        resume: continue from the newest checkpoint in `out`.
        fast_dev_run: two steps and two clips per validation, to see that everything works.
        allow_changed_data: resume although a source's data are others than when the run began.
        overwrite: replace what is left of a run that ended before its first checkpoint.
    """

    def __init__(
        self,
        plan: Plan,
        out: Path,
        console: Console,
        resume: bool = False,
        fast_dev_run: bool = False,
        allow_changed_data: bool = False,
        overwrite: bool = False,
    ) -> None:
        check_mirrors(plan.config.run.log)
        start = start_of(plan, out, resume, allow_changed_data)
        self.changes, self.remarks = start.changes, start.remarks
        plan, found = start.plan, start.checkpoint
        self.goes_on = found is not None
        self.plan, self.out, self.config, self.console = plan, out, plan.config, console
        run = self.config.run
        if run.threads:
            torch.set_num_threads(run.threads)
        self.accelerator: Accelerator = make_accelerator(run)
        self.num_steps = min(plan.num_steps, 2) if fast_dev_run else plan.num_steps
        seed_all(step_seed(run.seed, -1, 0))  # the same initial weights on every rank
        self.started_from: list[str] = []
        self.network = build_network(plan, self.started_from.append, started=self.goes_on)
        self.shards = self._sharded()
        self.balance = self._balance()
        learned = (
            [(f"{BALANCE}.{n}", p) for n, p in self.balance.named_parameters()]
            if self.balance
            else []
        )
        self.optimizer = optim.make_optimizer(
            self.shards or self.network, self.config.optim, learned
        )
        self.ema = optim.Ema(self.network, self.config.optim.ema) if self.config.optim.ema else None
        self.progress = Progress()
        self.reports: list[SourceReport] = []
        # Before `prepare`: it moves parameters to the device in place and wraps, but never copies on one device.
        self._restore(resume, start, overwrite)
        self.model, self.stepping = self._prepared()
        clips = 2 if fast_dev_run else run.eval_clips
        self.validator = Validator(plan, self.accelerator, clips, out)
        self.stepper = Stepper(self.model, self.stepping, self.accelerator, self._step_options())
        self.mixer = mixer_of(plan)

    def _step_options(self) -> StepOptions:
        optim = self.config.optim
        return StepOptions(
            weights={t: self.config.losses.weight_of(t) for t in self.plan.targets},
            losses=self.validator.inference.losses(),
            accumulate=optim.accumulate,
            clip_norm=optim.clip_norm,
            balance=self.balance,
        )

    def _sharded(self) -> torch.nn.Module | None:
        """The network in shards where the run asks for them and there are several ranks."""
        if self.config.run.strategy != "fsdp" or self.accelerator.num_processes == 1:
            return None
        sharded.check_sharding(self.config)
        self.network.to(self.accelerator.device)
        return sharded.shard(self.network, self.accelerator.device)

    def _balance(self) -> UncertaintyWeights | None:
        """Learned factors on the tasks' weights, where the run asks for them."""
        if not self.config.losses.learned:
            return None
        names = [t for t in self.plan.targets if self.config.losses.weight_of(t)]
        return UncertaintyWeights(names).to(self.accelerator.device)

    def _prepared(self) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        if self.shards is not None:
            return self.shards, self.accelerator.prepare(self.optimizer)
        network = torch.compile(self.network) if self.config.run.compile else self.network
        model, stepping = self.accelerator.prepare(network, self.optimizer)
        return model, stepping

    @property
    def is_main(self) -> bool:
        """Whether this rank writes files and speaks."""
        return bool(self.accelerator.is_main_process)

    def _restore(self, resume: bool, start: Start, overwrite: bool) -> None:
        folder.prepare(self.out, resume, self.is_main, overwrite)
        self.accelerator.wait_for_everyone()
        if start.checkpoint is None:
            return
        if start.has_new_length and self.is_main:
            folder.reopen(self.out)
        state = checkpoint.restore(
            start.checkpoint, self.network, self.optimizer, self.ema.tensors if self.ema else None
        )
        if self.shards is not None:
            sharded.spread(self.network, self.shards)
        self.progress = Progress.from_json(state["progress"])
        if self.balance is not None:
            self.balance.log_variance.data.copy_(torch.tensor(state["balance"]))
        if self.accelerator.scaler is not None and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])

    def run(self) -> TrainResult:
        """Trains to the end.

        Raises:
            Interrupted: if a signal asked to stop; a checkpoint was saved.
            PvitError: if losses stay non-finite, or the disk is full.
        """
        log, said = None, STOPPING if self.is_main else ""
        view = make_view(self.console, self.num_steps, quiet=not self.is_main)
        try:
            with StopRequest(said) as stop, folder.needing_room(self.out):
                self._announce(view)
                log = self._log() if self.is_main else None
                self._tell_changes(view, log)
                self._loop(view, log, stop)
                self._finish(view, log)
        finally:
            faulthandler.cancel_dump_traceback_later()
            view.close()
            if log is not None:
                log.close()
            if self.shards is not None:
                sharded.leave_group(self.shards)
            release(self.accelerator)
        return TrainResult(
            self.progress.step, self.progress.best_step, self.reports, self.progress.skipped
        )

    def _log(self) -> MetricsLog:
        values = self.config.model_dump(mode="json")
        return MetricsLog(self.out, self.progress.step or None, self.config.run.log, values)

    def _announce(self, view: View) -> None:
        lines = []
        if self.is_main:
            ranks = self.accelerator.num_processes
            lines = announcement(self.network, self.plan, self.out, self.started_from, ranks)
            folder.describe(self.out, self.plan, lines, self.goes_on)
        for line in lines:
            view.note(line)
        if self.progress.step:
            view.note(f"resumed    at step {self.progress.step}")

    def _tell_changes(self, view: View, log: MetricsLog | None) -> None:
        """What of the data is not, or may not be, what the run began with."""
        for remark in self.remarks:
            view.note(f"note       {remark}")
        for change in self.changes:
            view.note(
                f"data       '{change.source}' was {change.old or 'absent'}, now {change.new or 'absent'}"
            )
            if log is not None:
                log.write("event", self.progress.step, {"event": "changed data", **asdict(change)})

    def _loader(self) -> Loader:
        device = self.accelerator.device if self.accelerator.device.type == "cuda" else None
        return loader(
            self.plan.mixture,
            workers=self.config.data.workers,
            start_method=self.config.data.start_method,
            concurrency=self.config.data.concurrency,
            rank=self.accelerator.process_index,
            world_size=self.accelerator.num_processes,
            start_step=self.progress.step,
            num_steps=self.num_steps - self.progress.step,
            clip=self.config.clip,
            on_corrupt=self.config.data.on_corrupt,
            pin_memory=device is not None,
            timeout=self.config.run.timeout_s,
            device=device,  # pixels travel as bytes, and the accelerator normalises them
        )

    def _loop(self, view: View, log: MetricsLog | None, stop: StopRequest) -> None:
        if self.progress.step >= self.num_steps:
            return
        self.loader = self._loader()
        batches = iter(self.loader)
        if (
            self.progress.step
            and self._validation_due()
            and self.progress.validated != self.progress.step
        ):
            self._validate(view, log)  # a stop comes before the validation of its step
        clock, begun, first = Clock(), time.perf_counter(), self.progress.step
        self.model.train()
        while self.progress.step < self.num_steps:
            self._arm_watchdog()
            waited = time.perf_counter()
            batch = next(batches)
            clock.wait += time.perf_counter() - waited
            clock.samples += self.config.mixture.batch_size
            result = self._step(batch, bool(stop))
            step = self.progress.step
            pace = (time.perf_counter() - begun) / (step - first)
            if step % self.config.run.log_every == 0 or step == self.num_steps or result.skipped:
                self._show(view, log, result, clock, pace * (self.num_steps - step))
                clock = Clock()
            else:
                view.tick(step, pace * (self.num_steps - step))
            self._after(view, log, result, stop)
            if self._validation_due():
                paused = time.perf_counter()
                self._validate(view, log)
                begun += time.perf_counter() - paused
                clock = Clock()

    def _step(self, batch: Batch, stop: bool) -> StepResult:
        step = self.progress.step
        seed_all(step_seed(self.config.run.seed, step, self.accelerator.process_index))
        peak = peak_lr(self.config.optim, self.config.mixture.batch_size)
        optim.set_lr(self.optimizer, lr_at(step, self.plan.num_steps, peak, self.config.optim))
        batch = batch.to(self.accelerator.device, non_blocking=True)
        result = self.stepper.step(batch if self.mixer is None else self.mixer(batch), stop)
        if self.ema and not result.skipped:
            self.ema.update(self.network, step)
        self.progress.step += 1
        self.progress.skipped += result.skipped
        self.progress.bad_in_a_row = self.progress.bad_in_a_row + 1 if result.nonfinite else 0
        if self.progress.bad_in_a_row >= self.config.run.max_nonfinite:
            self._give_up(batch, result)
        return result

    def _give_up(self, batch: Batch, result: StepResult) -> None:
        names = ", ".join(result.nonfinite)
        place = f"step-{self.progress.step:08d}-rank-{self.accelerator.process_index}"
        where = folder.debug_bundle(
            self.out / "debug" / place, batch, result.losses, result.nonfinite
        )
        keys = ", ".join(batch.keys[:4]) + (", ..." if len(batch.keys) > 4 else "")
        raise PvitError(
            f"training stopped at step {self.progress.step}: {self.progress.bad_in_a_row} steps in a row had a "
            f"non-finite loss ({names}); last samples {keys}; the batch is in {where}; lower optim.lr, set "
            "optim.clip_norm, or look at those samples, then --resume"
        )

    def _after(
        self, view: View, log: MetricsLog | None, result: StepResult, stop: StopRequest
    ) -> None:
        if result.skipped and result.nonfinite:
            view.note(
                f"step {self.progress.step}: skipped, not finite: {', '.join(result.nonfinite)}"
            )
            if log is not None:
                log.write(
                    "event",
                    self.progress.step,
                    {"event": "skipped", "nonfinite": list(result.nonfinite)},
                )
        every = self.config.run.checkpoint_every
        if result.stop and self.progress.step < self.num_steps:
            saved = self._save()
            view.note(f"stopped by {stop.name or 'another rank'}: saved {saved}")
            raise Interrupted(
                f"stopped at step {self.progress.step} of {self.num_steps} and saved; continue with --resume"
            )
        if every and self._due(every) and not self._validation_due():
            self._save()

    def _due(self, every: int) -> bool:
        return self.progress.step % every == 0 or self.progress.step == self.num_steps

    def _validation_due(self) -> bool:
        return self._due(self.config.run.eval_every or self.plan.steps_per_epoch)

    def _show(
        self, view: View, log: MetricsLog | None, result: StepResult, clock: Clock, eta_s: float
    ) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        if torch.cuda.is_available():
            peak = torch.cuda.max_memory_allocated() / 2**30
        values = {
            "loss": result.total,
            "lr": self.optimizer.param_groups[0]["lr"] / self.optimizer.param_groups[0]["factor"],
            "grad_norm": result.grad_norm,
            "memory_gb": peak,
            "skipped": float(self.progress.skipped),
            "corrupt": float(self.loader.skipped.total()),
            **clock.rates(),
        }
        view.update(self.progress.step, values | {"eta_s": eta_s}, result.losses)
        if log is not None:
            tasks = {"losses": result.losses, "counts": result.counts}
            tasks |= {"factors": self.balance.factors()} if self.balance else {}
            log.write("train", self.progress.step, {**values, **tasks})

    def _validate(self, view: View, log: MetricsLog | None) -> None:
        faulthandler.cancel_dump_traceback_later()
        if self.shards is not None:
            sharded.collect(self.shards, self.network)
        with self._averaged():
            self.reports = self.validator.run(
                self.network
            )  # ranks have unequal parts: nothing to synchronise
        found = flatten(self.reports)
        for line in report_lines(self.reports, self.plan):
            view.note(f"step {self.progress.step}  {line}")
        if log is not None:
            log.write("eval", self.progress.step, found)
        name, value, sign = best_metric(self.config.run.best, self.plan, found)
        best, self.progress.validated = self.progress.best_value, self.progress.step
        if value is not None and (best is None or sign * value >= sign * best):
            self.progress.best_value, self.progress.best_step = value, self.progress.step
        self._save(name)

    def _averaged(self) -> AbstractContextManager[None]:
        return folder.swapped(self.network, self.ema.tensors if self.ema else None)

    def _save(self, metric: str = "") -> Path:
        """Writes a checkpoint on the main rank; every rank waits for it."""
        target = self.out / "checkpoints"
        if self.shards is not None:
            sharded.collect(self.shards, self.network)
        slots = (
            checkpoint.optimizer_tensors(self.optimizer)
            if self.is_main or self.shards is not None
            else {}
        )
        if self.is_main:
            state = {
                "progress": self.progress.to_json(),
                "best_metric": metric,
                "num_steps": self.num_steps,
                "seed": self.config.run.seed,
                "identity": folder.identity(self.plan),
                "balance": self.balance.log_variance.tolist() if self.balance else [],
                "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler else {},
            }
            checkpoint.save_checkpoint(
                target, self.progress.step, lambda path: folder.save_model(self.network, self.plan, path),
                slots, state, self.ema.tensors if self.ema else None,
            )  # fmt: skip
            checkpoint.prune(target, self.config.run.keep_last, self.progress.best_step)
        self.accelerator.wait_for_everyone()
        return target / f"step-{self.progress.step:08d}"

    def _finish(self, view: View, log: MetricsLog | None) -> None:
        if not self.reports:
            self._validate(view, log)
        if self.is_main:
            folder.export_best(self.out, self.progress.best_step or self.progress.step)
        self.accelerator.wait_for_everyone()
        if self.is_main:  # nobody waits for the report: there is no more to do together
            write_report(self.out, self.plan, self.reports, self._examples(log))
            view.note(f"done       {self.progress.step} steps; model in {self.out / 'model'}")
            view.note(f"report     {self.out / 'report.html'}")

    def _examples(self, log: MetricsLog | None) -> list[tuple[str, bytes]]:
        """(caption, PNG) of held-out clips, as the exported network sees them."""
        drawn = []
        for name, text, strip in run_examples(self.plan, self.out, self.accelerator.device):
            drawn.append((text, png(strip)))
            if log is not None:
                log.image(name, self.progress.step, strip)
        return drawn

    def _arm_watchdog(self) -> None:
        limit = self.config.run.watchdog_s
        if limit and sys.__stderr__ is not None:
            faulthandler.dump_traceback_later(limit, exit=True, file=sys.__stderr__)


def run_plan(
    plan: Plan,
    out: Path,
    console: Console | None = None,
    resume: bool = False,
    fast_dev_run: bool = False,
    allow_changed_data: bool = False,
    overwrite: bool = False,
) -> TrainResult:
    """Trains a plan to its end in `out`. See `Trainer`."""
    quiet = console or Console(quiet=True)
    return Trainer(plan, out, quiet, resume, fast_dev_run, allow_changed_data, overwrite).run()
