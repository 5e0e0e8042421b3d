"""TODO."""

#: Random stream of the global generators, for code that draws from them (dropout).
GLOBAL = 2000


#: Takes new epochs of the record and whether all earlier ones are void.
Report = Callable[[list[dict[str, Any]], bool], None]


class Run:
    """The moving parts of ``run_trial``: what measures a single epoch takes hold of them too."""

    def __init__(
        self,
        spec: TrialSpec,
        dataset: Dataset,
        encoder: Encoder | None,
        report: Report,
        checkpoint: Checkpoint | None,
        keep: Collection[str],
        outcome: Outcome,
    ) -> None:
        if dataset.content_hash != spec.data_hash:
            raise Unavailable(
                f"the data is not what the specification names (hash {dataset.content_hash}, not "
                f"{spec.data_hash}): check --data-dir and --subset"
            )
        try:
            noise_hash = noise.fingerprint(spec.noise_kind)
        except InputError as error:  # a file that only another machine has
            raise Unavailable(str(error)) from error
        if noise_hash != spec.noise_hash:
            raise Unavailable(
                f"the file of {spec.noise_kind} is not the one the trial was planned with: put "
                "that one back"
            )
        self.spec, self.dataset, self.outcome = spec, dataset, outcome
        self.report, self.checkpoint, self.keep = report, checkpoint, keep
        self.facts = outcome.facts
        self.labels = Labels.of(spec, dataset)
        self.facts.update(self.labels.facts(spec, dataset))
        drawn = openset(
            dataset, spec.noise_kind, spec.noise_rate, spec.noise_seed, spec.noise_sampling
        )
        images = replaced(dataset, drawn)
        self.seed, order, self.evaluation_seed = (
            hidden_seed(purpose, spec.train_seed, dataset)
            for purpose in ("training", "positions", "evaluation")
        )
        # A method's samples are numbered in a random order: that of the data set often goes by the
        # true class.
        numbered = shuffled(len(self.labels.train), order)
        # positions in the data set of the method's samples
        self.shown = self.labels.train[numbered]
        self.number = np.argsort(numbered)  # of each training sample, in the data set's order
        # Which row of a state is whose, and its label: noise of a plugin may have changed, whose
        # code no hash covers.
        self.numbering = hashlib.sha256(
            self.shown.tobytes() + self.labels.noisy.tobytes()
        ).hexdigest()[:16]
        self.pixels = pixels_for(dataset, spec, images, self.shown)
        self.validating = pixels_for(dataset, spec, images, self.labels.validation)
        self.tests = {"test": (pixels_for(dataset, spec, dataset.test_images), dataset.test_labels)}
        for name, (extra, labels) in dataset.extra_tests.items():
            self.tests[name] = pixels_for(dataset, spec, extra), labels
        self.method = method_for(spec)
        # Asked once: what is on record is what is granted.
        self.granted = [check_privileges(part.privileges) for part in self.method.parts()]
        self.facts["privileges"] = sorted(frozenset().union(*self.granted))
        self.counted: list[Network] = []
        self.records: list[dict[str, Any]] = []
        # samples that can be scored
        known = np.flatnonzero(self.labels.truth[self.labels.train] != UNKNOWN)
        self.known = known
        chosen = np.random.default_rng(PROBES).permutation(known)[: scoring.PROBES]
        self.probes = np.sort(chosen)  # among the training samples
        self.judged = False
        self.setup(encoder, images)

    def setup(self, encoder: Encoder | None, images: np.ndarray | ImageFiles) -> None:
        features = None
        if job := pretrain_job(self.spec):
            encoder = encoder or _encoder(job, self.dataset, images, lambda epoch, loss: None)
            self.facts["pretraining"] = self.score(encoder)
            features = encoder.frozen(self.task(None, frozenset()))
            self.counted.append(features.network)
        for stream, (part, granted) in enumerate(
            zip(self.method.parts(), self.granted, strict=True)
        ):
            part.task = self.task(features, granted)
            part.task.seed(self.seed, stream)
            seed_globals(self.seed, stream)
            part.setup(part.task)
        self.counted += [module for module in self.method.modules() if isinstance(module, Network)]

    def score(self, encoder: Encoder) -> dict[str, Any]:
        """How good the pretrained features are: neighbours' votes against noisy labels, and against
        the truth.
        """
        noisy = encoder.knn_accuracy(self.labels.noisy, self.dataset.num_classes)
        clean: tuple[float | None, float | None] = (None, None)
        if (self.labels.truth >= 0).all():
            clean = encoder.knn_accuracy(self.labels.truth, self.dataset.num_classes)
        names = (
            "knn_accuracy_noisy_before",
            "knn_accuracy_noisy",
            "knn_accuracy_clean_before",
            "knn_accuracy_clean",
        )
        figures = dict(zip(names, (*noisy, *clean), strict=True))
        return figures | {
            "spread": encoder.spread,
            "loss": encoder.loss,
            "pretrain_seconds": encoder.train_seconds,
        }

    def task(self, features: Callable[[Tensor], Tensor] | None, privileges: frozenset[str]) -> Task:
        """What one part of the method may see."""
        spec, recipe, device = self.spec, self.spec.recipe, torch.device(self.spec.device)
        truth = {
            "noise_rate": min(
                1.0, spec.told * float((self.labels.noisy != self.labels.truth).mean())
            ),
            "noise_kind": spec.noise_kind,
        }
        return Task(
            self.pixels,
            _tensor(self.labels.noisy[self.shown], spec.device),
            self.dataset.num_classes,
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            backbone=recipe.backbone,
            augmentation=recipe.augmentation,
            device=device,
            precision=spec.precision,
            encoder=features,
            facts={name: truth[name] for name in privileges},
        )

    def go(self) -> None:
        optimizer = self.restore()
        stage = self.method.stage if optimizer else None
        for epoch in range(len(self.records), self.spec.recipe.epochs):
            self.enter(epoch)
            if optimizer is None or self.method.stage != stage:
                stage, optimizer = self.method.stage, self.new_optimizer()
            record = self.train(epoch, optimizer)
            record |= self.evaluate()
            if record["train_loss"] is None or not np.isfinite(self.test).all():
                self.facts.update(
                    status="diverged",
                    error=f"the loss or the predictions are not finite in epoch {epoch}",
                )
                return self.conclude(record)
            self.records.append(record)
            self.report([record], False)
            if self.checkpoint and self.checkpoint.due() and epoch + 1 < self.spec.recipe.epochs:
                self.checkpoint.save(self.state(optimizer))
        self.facts["status"] = "finished"
        self.conclude(None)

    def enter(self, epoch: int) -> None:
        """Seed every random stream from the epoch alone, so that a resumed trial needs no
        generator's state.
        """
        seed_globals(self.seed, epoch, GLOBAL)
        for stream, part in enumerate(self.method.parts()):
            part.epoch = epoch
            part.task.seed(self.seed, epoch, stream)

    def new_optimizer(self) -> torch.optim.Optimizer:
        optimizer = self.method.optimizer(self.method.param_groups())
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        return optimizer

    def train(self, epoch: int, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        start = time.perf_counter()
        for net in self.counted:
            net.samples_trained = net.samples_inferred = 0
        factor = self.method.schedule(epoch / self.spec.recipe.epochs)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        for part in self.method.parts():
            part.task.mixtures.clear()
        self.method.train()
        self.method.epoch_start()
        step = steps_of(self.method, optimizer, self.counted, self.spec.device, self.spec.graphs)
        losses = [step(batch) for batch in self.method.batches()]
        self.method.epoch_end()
        loss = torch.stack(losses).mean().item()  # waits for the device, once an epoch
        self.check_labels()
        mixtures = [fit for part in self.method.parts() for fit in part.task.mixtures]
        return {
            **({"schema": SCHEMA, "privileges": self.facts["privileges"]} if epoch == 0 else {}),
            "epoch": epoch,
            "train_loss": loss if np.isfinite(loss) else None,
            "learning_rate": optimizer.param_groups[0]["lr"],
            "samples_trained": sum(net.samples_trained for net in self.counted),
            "samples_inferred": sum(net.samples_inferred for net in self.counted),
            **({"mixtures": mixtures} if mixtures else {}),
            "train_seconds": time.perf_counter() - start,
        }

    def check_labels(self) -> None:
        """Raise RuntimeError where a part of the method has written into its labels, which no
        checkpoint keeps.
        """
        lent = self.labels.noisy[self.shown]
        for part in self.method.parts():
            if not np.array_equal(part.task.noisy_labels.cpu().numpy(), lent):
                raise RuntimeError(
                    "training changed task.noisy_labels: write into a buffer of the method's own "
                    "instead"
                )

    def evaluate(self) -> dict[str, Any]:
        start = time.perf_counter()
        with untouched(self.method):
            record = self.figures()
        # it may predict otherwise by then
        if not self.judged or self.method.epoch + 1 == self.spec.recipe.epochs:
            self.judged = True
            self.judge()
        return record | {"eval_seconds": time.perf_counter() - start}

    def figures(self) -> dict[str, Any]:
        """Predict validation and test images; return the figures of these predictions."""
        self.validation = self.predict(self.validating)
        probabilities = {name: self.predict(pixels) for name, (pixels, _) in self.tests.items()}
        self.test = probabilities["test"]
        guesses, validation = self.validation.argmax(1), self.labels.validation
        return {
            "noisy_val_accuracy": float((guesses == self.labels.noisy[validation]).mean()),
            "clean_val_accuracy": clean_validation(guesses, self.labels.truth[validation]),
            **{
                f"{name}_accuracy": float((found.argmax(1) == self.tests[name][1]).mean())
                for name, found in probabilities.items()
            },
            **(self.scores() if np.isfinite(self.test).all() else {}),
            "val_predictions": pack_classes(guesses),
        }

    @torch.inference_mode()
    def judge(self) -> None:
        """Check on a few images that what is predicted of one does not depend on the others."""
        self.method.eval()
        images = self.validating(
            _tensor(np.arange(min(TRIED, len(self.validating))), self.spec.device)
        )
        fewer = images[: min(PART, (len(images) + 1) // 2)]
        with self.method.task.autocast():
            whole, part = (self.method.predict(few).float() for few in (images, fewer))
        check_alike(whole, part, self.spec.precision)

    def scores(self) -> dict[str, float | None]:
        """How sure the method is with what right, and how it fares with wrong labels where somebody
        knows which are.
        """
        found: dict[str, float | None] = {}
        found["calibration_error"] = scoring.calibration_error(self.test, self.dataset.test_labels)
        found["worst_class_accuracy"] = scoring.worst_class_accuracy(
            self.test.argmax(1), self.dataset.test_labels
        )
        if not len(self.known):
            return found
        noisy, clean = self.labels.noisy, self.labels.truth
        guesses = self.predict(self.pixels, self.number[self.probes]).argmax(1)
        probes = self.labels.train[self.probes]
        found |= scoring.memorisation(guesses, noisy[probes], clean[probes])
        samples = self.labels.train[self.known]
        per_sample = self.per_sample()
        if (probability := per_sample.get("clean_probability")) is not None:
            found |= scoring.detection(probability[self.known], noisy[samples] != clean[samples])
        if (targets := per_sample.get("soft_targets")) is not None:
            found |= scoring.correction(targets[self.known], clean[samples])
        return found

    def per_sample(self) -> dict[str, np.ndarray]:
        """Return the method's figures of each training sample, by hook, in the data set's order and
        in memory of their own.
        """
        given = {
            "clean_probability": self.method.clean_probability(),
            "soft_targets": self.method.soft_targets(),
        }
        shapes = {
            "clean_probability": (len(self.number),),
            "soft_targets": (len(self.number), self.dataset.num_classes),
        }
        return {
            hook: shaped(hook, tensor_of(hook, values), shapes[hook])[self.number]
            for hook, values in given.items()
            if values is not None
        }

    def predict(self, pixels: Pixels, positions: np.ndarray | None = None) -> np.ndarray:
        """Class probabilities (len(positions), C), of all images by default."""
        probabilities = self.evaluated("predict", self.method.predict, pixels, positions)
        check_probabilities(probabilities, self.dataset.num_classes)
        return probabilities

    @torch.inference_mode()
    def evaluated(
        self,
        name: str,
        function: Callable[[Tensor], Tensor],
        pixels: Pixels,
        positions: np.ndarray | None,
    ) -> np.ndarray:
        """Apply a method's function to images in a random order: class by class, their order would
        tell the classes.
        """
        self.method.eval()
        positions = np.arange(len(pixels)) if positions is None else positions
        order = shuffled(len(positions), self.evaluation_seed)
        batches = pixels.stream(
            _tensor(positions[order], self.spec.device).split(pixels.evaluation_batch)
        )
        with self.method.task.autocast():
            values = torch.cat([tensor_of(name, function(pixels.view(raw))) for raw in batches])
        return shaped(name, values, (len(order), *values.shape[1:]))[np.argsort(order)]

    def separation(self) -> dict[str, float | None]:
        """How far apart the first network's features of test samples lie."""
        pixels, labels = self.tests["test"]
        chosen = np.sort(np.random.default_rng(PROBES).permutation(len(labels))[: scoring.PROBES])
        return scoring.separation(self.features(pixels, chosen), labels[chosen])

    def features(self, pixels: Pixels, positions: np.ndarray) -> np.ndarray:
        """Features (len(positions), D) of the first network that predicts."""
        return self.evaluated(
            "forward_features", self.method.predictors()[0].forward_features, pixels, positions
        )

    def state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        return {
            "id": self.spec.id,
            "code": code_of(self.spec.method),
            "numbering": self.numbering,
            "method": self.method.state_dict(),
            "optimizer": optimizer.state_dict(),
            "records": self.records,
        }

    def restore(self) -> torch.optim.Optimizer | None:
        """Take up the checkpoint, if there is one; returns its optimiser."""
        state = self.checkpoint.load(self.spec) if self.checkpoint else None
        if self.checkpoint and state and state.get("numbering") != self.numbering:
            self.checkpoint.warn(
                f"cannot use the checkpoint {self.checkpoint.path} (its samples have other numbers "
                "or labels than today's): the trial starts anew"
            )
            state = None
        if state is None:
            self.report([], True)
            return None
        self.records = state["records"]
        earlier = self.records[0].get("privileges", ())  # granted before the restart
        self.facts["privileges"] = sorted({*earlier, *self.facts["privileges"]})
        self.enter(self.records[-1]["epoch"])
        self.method.load_state_dict(state["method"])
        optimizer = self.new_optimizer()
        optimizer.load_state_dict(state["optimizer"])
        self.report(self.records, True)
        return optimizer

    def conclude(self, last: dict[str, Any] | None) -> None:
        """Sum up the record and, unless it ends with the epoch ``last``, which diverged, keep the
        results.
        """
        records = self.records + ([last] if last else [])
        self.facts.update(
            _sums(records, len(self.labels.train)),
            epochs=len(self.records),
            pretrain_seconds=self.facts.get("pretraining", {}).get("pretrain_seconds", 0.0),
            parameters=sum(p.numel() for net in self.method.networks for p in net.parameters()),
            peak_memory_bytes=peak_memory(self.spec.device),
        )
        if last is None:
            with untouched(self.method):
                self.keep_results()

    def keep_results(self) -> None:
        """Keep per-sample results and, on request, features and weights."""
        self.facts |= self.separation()
        self.facts["reliability"] = scoring.reliability(self.test, self.dataset.test_labels)
        if (transition := self.method.transition_matrix()) is not None:
            matrix = shaped(
                "transition_matrix", transition.double(), (self.dataset.num_classes,) * 2
            )
            self.facts["estimated_transition_matrix"] = matrix.round(6).tolist()
        self.outcome.samples = {
            "noisy_labels": self.labels.noisy,
            "train_positions": self.labels.train,
            "validation_positions": self.labels.validation,
            "validation_probabilities": self.validation.astype(np.float16),
            "test_probabilities": self.test.astype(np.float16),
            **self.per_sample(),
            **({} if self.dataset.train_names is None else {"names": self.dataset.train_names}),
        }
        if "features" in self.keep:
            self.outcome.samples |= {
                "feature_positions": (probes := self.labels.train[self.probes]),
                "features": self.features(self.pixels, self.number[self.probes]).astype(np.float16),
                "feature_truth": self.labels.truth[probes],
            }
        if "models" in self.keep:
            self.outcome.weights = nn.ModuleList(self.method.networks).state_dict()
