"""How much a model's answers give away of what the rows of a class look like.

Somebody who may ask the model, and knows roughly where the data lie, climbs from random rows to rows that the model is sure of, class by
class: by its gradients where it shows them, else by its scores. What he finds is compared with the mean training row of the class.
Limits: the search finds what a class looks like, not one person's row, unless a class is one person (as in face recognition). Rows of
tables and small images are reconstructed well where the model is nearly linear; deep networks often answer to patterns that look like
nothing, and a low similarity then shows a weak search, not a safe model. Text is left as it is in a random row.
Source: Fredrikson et al., Model inversion attacks that exploit confidence information, 2015; Zhang et al., The secret revealer, 2020 (to
judge by a classifier that was trained apart).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assay.checks.privacy.class_images import START, Space, images
from assay.core.assets import Kind
from assay.core.checks import Context, check
from assay.core.errors import Undecided
from assay.core.outcomes import Outcome, Progress, Skipped
from assay.predictors.plan import Way, strongest
from assay.predictors.predictor import Capability, Predictor
from assay.predictors.rows import EvaluationRows
from assay.predictors.subject import SCORES, Subject, of_model, training_rows, unseen_classes
from assay.predictors.substitutes import Shape, Substitutes

if TYPE_CHECKING:
    import numpy as np

    from assay.predictors.predictor import Batch, Flags, Floats, Labels


ID = "privacy.model_inversion"
LEAST_PER_CLASS = 10
LEAST_COLUMNS = 3
WORKED = 0.5


@check(
    ID, kinds={Kind.MODEL}, version=1, needs=("ml",), runs_model=True, maps_to=("mitre-atlas:AML.T0024.001",),
    defaults={"starts": 5, "max_classes": 20, "max_rows": 5_000}, tasks={"classification"}, inputs={"table", "image"},
)  # fmt: skip
@of_model(ID)
def model_inversion(examined: Subject, context: Context) -> Iterator[Outcome]:
    """How like the training rows of each class the rows are that a search draws out of the model.

    `inversion_similarity` is the correlation (-1..1), over the numeric features in units of their spread, of a reconstruction with the mean
    training row of its class, minus that of the random row from which the search started; the mean over `starts` searches for each of at
    most `max_classes` classes. `inversion_recognised` is the share (0..1) that a forest trained on the test data alone takes for the class.
    The intervals cover the starts; the classes are all there are. Where the model itself takes fewer than half of the reconstructions for
    their class, the search did not work and nothing is valid. Of training and test rows at most `max_rows` each are drawn with the seed.
    """
    yield from unseen_classes(examined.rows, ID)
    otherwise = "the model gives neither gradients nor scores to climb by"
    way = yield from strongest(WAYS, examined.predictor.capabilities, otherwise)
    scene = _scene(examined, context)
    yield Progress(0, 2, f"climbing by {way.name}")
    found = _reconstructed(examined.predictor, scene, way.run, context)
    taken = float((examined.predictor.labels(found.rows) == scene.classes[found.place]).mean())
    if taken < WORKED:
        yield Skipped(f"validity of {ID}", f"the model takes {taken:.0%} of the reconstructions for their class")
    recognised = _recognised(examined.predictor, scene, found, context.seed)
    yield from _measured(scene, found, recognised, way.name, taken >= WORKED)
    yield Progress(2, 2, f"{examined.predictor.rows_queried} rows queried")


@dataclass(frozen=True)
class Scene:
    """What is looked for: the mean training rows of `classes` (c,), shape (c, d) in units of the public rows."""

    public: EvaluationRows = field(repr=False)
    space: Space = field(repr=False)
    classes: Labels = field(repr=False)
    means: Floats = field(repr=False)


@dataclass(frozen=True)
class Reconstructions:
    """`start` and `image` (n, d) in units, the place of each one's class among those of the scene (n,), and whole rows."""

    start: Floats = field(repr=False)
    image: Floats = field(repr=False)
    place: Labels = field(repr=False)
    rows: Batch = field(repr=False)


def _scene(examined: Subject, context: Context) -> Scene:
    """Raises Undecided where there is nothing to look for."""
    import numpy as np

    info = examined.predictor.info
    if info.is_regression:
        raise Undecided("there are no classes to reconstruct", "the model is a regression")
    trained = training_rows(examined.predictor, context)
    if trained is None:
        raise Undecided("no training data", "nobody says what is to be kept private",
                        "declare a dataset as `trained_on` of the model")  # fmt: skip
    rng, limit = np.random.default_rng(context.seed), int(context.options.get("max_rows", 5_000))
    public, held = _whole(examined.rows, limit, rng), _whole(trained, limit, rng)
    if trained.names != public.names or sum(public.is_number) < LEAST_COLUMNS:
        raise Undecided("there is nothing to compare", f"fewer than {LEAST_COLUMNS} numeric features, or other columns")
    counts = np.bincount(held.target, minlength=len(info.classes)) if held.n else np.zeros(1)
    classes = np.flatnonzero(counts >= LEAST_PER_CLASS).astype(np.int32)
    if classes.size < 2 or public.n < LEAST_PER_CLASS:
        raise Undecided("too few rows", f"{classes.size} classes have {LEAST_PER_CLASS} training rows without holes")
    classes = np.sort(rng.permutation(classes)[: int(context.options.get("max_classes", 20))])
    space = Space.of(public)
    units = space.units(held.features)
    return Scene(public, space, classes, np.stack([units[held.target == one].mean(axis=0) for one in classes]))


def _whole(rows: EvaluationRows, limit: int, rng: np.random.Generator) -> EvaluationRows:
    """At most `limit` rows of known classes whose numbers have no holes."""
    import numpy as np

    numbers = rows.features[:, np.flatnonzero(rows.is_number)].astype(np.float64)
    kept = np.flatnonzero(np.isfinite(numbers).all(axis=1) & (rows.target >= 0))
    return rows.subset(rng.permutation(kept)[:limit])


def _reconstructed(predictor: Predictor, scene: Scene, by_gradients: bool, context: Context) -> Reconstructions:
    import numpy as np

    rng = np.random.default_rng(context.seed)
    place = np.repeat(np.arange(scene.classes.size), max(2, int(context.options.get("starts", 5)))).astype(np.int32)
    start = START * rng.normal(size=(place.size, len(scene.space.columns)))
    start = np.clip(start, scene.space.floor, scene.space.ceiling)
    like = scene.public.features[rng.integers(0, scene.public.n, place.size)]
    image = images(predictor, scene.space, start, like, scene.classes[place], by_gradients, rng)
    return Reconstructions(start, image, place, scene.space.rows(image, like))


def _recognised(predictor: Predictor, scene: Scene, found: Reconstructions, seed: int) -> Flags | None:
    """Which reconstructions a forest takes for their class that never saw the model, shape (n,); None without two classes."""
    public = scene.public
    try:
        forest = Substitutes(predictor.info, public.is_number, Shape.FOREST).train(public.features, public.target, seed)
    except Undecided:
        return None
    said: Flags = forest.labels(found.rows) == scene.classes[found.place]
    return said


def _measured(
    scene: Scene, found: Reconstructions, recognised: Flags | None, threat: str, valid: bool
) -> Iterator[Outcome]:
    from assay.statistics.measurements import measured, measured_share
    from assay.statistics.studentised import mean_interval

    after, before = (correlation(part, scene.means[found.place]) for part in (found.image, found.start))
    gain = mean_interval(after - before)
    yield measured(
        "inversion_similarity", gain, "correlation", "mean", better="lower", threat_model=threat, valid=valid,
        about=f"{after.mean():.3f} found, {before.mean():.3f} by chance",
    )  # fmt: skip
    if recognised is None:
        yield Skipped("inversion_recognised", "the test rows have one class only, so nobody else can judge")
        return
    yield measured_share(
        "inversion_recognised", int(recognised.sum()), recognised.size, better="lower", threat_model=threat,
        about="by a forest of the test data", valid=valid,
    )  # fmt: skip


def correlation(left: Floats, right: Floats) -> Floats:
    """The correlation of each row of one with the same row of the other, shape (n,); 0 where one does not vary."""
    import numpy as np

    a, b = (part - part.mean(axis=1, keepdims=True) for part in (left, right))
    sizes = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    found: Floats = np.divide((a * b).sum(axis=1), sizes, out=np.zeros(len(a)), where=sizes > 0)
    return found


WAYS: tuple[Way[bool], ...] = (
    Way("gradients", frozenset({Capability.GRADIENTS}), True),
    Way("scores", SCORES, False),
)
