"""Images per second from files to a data set and to a ranking, beside those of an earlier build.

python benchmarks/survey_scale.py ingest --old CHECKOUT [--files 20000] [--folder DIR]
python benchmarks/survey_scale.py score --network results/lens_finding/networks/p4m
    [--first results/lens_finding/networks/quick] [--old CHECKOUT]
python benchmarks/survey_scale.py chain --network results/lens_finding/networks/p4m [--files 4000]
python benchmarks/survey_scale.py write DIR [--files 200000] [--rows 1000000]

The second scores images of the simulator, in one stage or in two, beside the network as it is, and
says which lenses that costs; the third measures every step from files to the ranking, and prints
from that the plan of a survey. Networks need their model.onnx, the first stage first_stage.json.
The last writes two surveys, one of files and one of rows of a stack, and their settings, for a run
of the workflow.
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from lensmill import experiments  # noqa: E402
from lensmill.cutouts import shards  # noqa: E402
from lensmill.experiments.lens_finding import simulate, survey  # noqa: E402
from lensmill.pipeline import settings as checked  # noqa: E402
from lensmill.pipeline import shards as mocks  # noqa: E402
from lensmill.pipeline import store  # noqa: E402

SIZE = 101
ABOUT = {"population": "survey", "experiment": "lens_finding", "code": "benchmark"}
REPEATS = 3
# Reads all images of a folder in a process of its own; both builds are asked the same way.
INGEST = """
import sys
sys.path.insert(0, sys.argv[1])
import json, resource, time
from lensmill import experiments
try:
    from lensmill.cutouts.ingest import ingest
except ImportError:  # of the earlier build
    from lensmill.pipeline.cutouts import ingest
observation = {"pixel_scale": 0.1, "size": int(sys.argv[4]), "bands": ["VIS"]}
settings = {"format": "classes", "label": 0, "observation": observation}
if hasattr(experiments, "population_settings"):
    settings = experiments.population_settings("lens_finding", {"ingest": "", **settings})
else:
    settings["labels"] = None
ingest(sys.argv[2], sys.argv[3], "mine", "lens_finding", settings)
used = resource.getrusage(resource.RUSAGE_SELF)
# the peak in `used` is also that of the process that started this one
peak = next(x for x in open("/proc/self/status") if x.startswith("VmHWM:"))
print(json.dumps({"seconds": used.ru_utime + used.ru_stime, "mb": int(peak.split()[1]) / 1024}))
"""
# Scores the images of a shard by Keras, in a process of its own; this build and earlier ones.
KERAS = """
import sys
sys.path.insert(0, sys.argv[1])
import json, resource
import numpy as np
from lensmill.experiments.lens_finding import network
from lensmill.pipeline import store
trained = network.load(*sys.argv[2:4])
score = getattr(network, "logits", network.predict)
pixels = store.memmap(sys.argv[4], "cutouts", "pixels")
score(trained, pixels[:256])  # the first call compiles
def used():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
before = used()
logit = score(trained, pixels)
seconds = used() - before
np.save(sys.argv[5], logit)
print(json.dumps({"seconds": seconds, "with_start": used()}))
"""
# The same by ONNX, whole: opening files and writing scores, but not the imports.
ONNX = """
import sys
sys.path.insert(0, sys.argv[1])
import json, resource
import onnxruntime
from lensmill.experiments.lens_finding import survey
from lensmill.pipeline import store
def used():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
before = used()
survey.score_shard(sys.argv[4], *sys.argv[2:4], sys.argv[5], "network", "survey", *sys.argv[6:])
print(json.dumps({"seconds": used() - before, "with_start": used()}))
"""
RATES = (1e-2, 3e-3, 1e-3)  # of false positives
BOOTSTRAPS = 500
SEED = 977  # of the images that are judged: no run has it by default
DISTINCT = 20000  # images of the surveys that are written


def write_images(
    folder: Path, count: int, size: int = SIZE, drawn: np.ndarray = (), first: int = 0
) -> None:
    """Write cut-outs of one band as a survey does: float32, a WCS, 2000 in a folder.

    They show a galaxy each, but for the first ones, which are ``drawn``. ``first`` is the number
    of the first.
    """
    from astropy.io import fits

    axis = np.arange(size) - (size - 1) / 2
    light = np.exp(-(axis[:, None] ** 2 + axis**2) / 50)
    light /= light.sum()
    scale = 0.1 / 3600
    for i in range(first, first + count):
        rng = np.random.default_rng(i)
        pixels = rng.normal(0, 1, (size, size)) + rng.uniform(500, 5000) * light
        pixels = drawn[i - first, ..., 0] if i - first < len(drawn) else pixels
        cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg"}
        cards |= {
            "CRPIX1": size / 2,
            "CRPIX2": size / 2,
            "CD1_1": -scale,
            "CD1_2": 0.0,
            "CD2_1": 0.0,
        }
        cards |= {"CRVAL1": rng.uniform(0, 360), "CRVAL2": rng.uniform(-60, 60), "CD2_1": 0.0}
        cards |= {
            "CD2_2": scale,
            "RADESYS": "ICRS",
            "EQUINOX": 2000.0,
            "EXPTIME": 565.0,
            "OBJECT": f"o{i}",
        }
        path = folder / f"{i // 2000:04d}" / f"{i:07d}.fits"
        path.parent.mkdir(parents=True, exist_ok=True)
        header = fits.Header([*cards.items()])
        fits.PrimaryHDU(pixels.astype(np.float32), header).writeto(path)


def measured(
    checkout: Path, folder: Path, output: Path, size: int = SIZE, kept: bool = False
) -> dict[str, float]:
    """Ingest a folder with the build of a checkout; return its processor time and memory."""
    words = [sys.executable, "-c", INGEST, checkout / "src", folder, output, str(size)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    if not kept:
        output.unlink()
    return json.loads(done.stdout.splitlines()[-1])


def ingest(arguments: argparse.Namespace) -> None:
    """Read the same files with both builds, in turn, and print medians."""
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        images, output = Path(folder) / "images", Path(folder) / "data.h5"
        write_images(images, arguments.files)
        builds = {"this build": ROOT} | ({"earlier": arguments.old} if arguments.old else {})
        found: dict[str, list[dict[str, float]]] = {name: [] for name in builds}
        for _ in range(REPEATS):
            for name, checkout in builds.items():
                found[name].append(measured(checkout, images, output))
                sys.stdout.write(f"  {name}: {found[name][-1]['seconds']:.1f} s\n")
                sys.stdout.flush()
    rates = {n: [arguments.files / x["seconds"] for x in every] for n, every in found.items()}
    for name, values in rates.items():
        memory = max(x["mb"] for x in found[name])
        sys.stdout.write(
            f"{name}: {statistics.median(values):,.0f} files a second of processor time "
            f"({min(values):,.0f} to {max(values):,.0f}), {memory:,.0f} MB\n"
        )
    if arguments.old:
        ratios = [a / b for a, b in zip(rates["this build"], rates["earlier"], strict=True)]
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        sys.stdout.write(f"ratio: {statistics.median(ratios):.2f} (pairs: {shown})\n")


def write_mocks(path: Path, population: str, count: int, lens_fraction: float) -> None:
    """Simulate a shard of images as the population ``euclid`` has them, with fewer lenses."""
    chosen = checked.population(experiments.defaults("lens_finding"), "euclid")
    chosen["prior"] |= {"lens_fraction": lens_fraction}
    what = "lens_finding", population, SEED, 0, count, chosen, "benchmark"
    mocks.simulate(str(path), simulate, *what)
    with h5py.File(path, "r+") as file:  # as if it had been ingested
        file.attrs["used"] = count


def scored(code: str, checkout: Path, network: Path, shard: Path, output: Path, *more: Path):
    """Score a shard in a process of its own; return what it took."""
    model = "model.keras" if code == KERAS else "model.onnx"
    words = [sys.executable, "-c", code, checkout / "src", network / model]
    words += [network / "training.json", shard, output, *more]
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        words, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | one
    )
    return json.loads(done.stdout.splitlines()[-1])


def score(arguments: argparse.Namespace) -> None:
    """Score the same images by Keras and as a survey is scored, in turn; print rates and losses."""
    files = {"lens_fraction 0.001": (arguments.survey, 1e-3)}
    each = arguments.survey
    many = max(1, round((arguments.images - arguments.survey) / each))
    files |= {f"lens_fraction 0.2, {k}": (each, 0.2) for k in range(many)}
    more = ()
    if arguments.first:
        more = arguments.first / "model.onnx", arguments.first / "first_stage.json"
    builds = {"Keras": (KERAS, arguments.old or ROOT, ()), "this build": (ONNX, ROOT, more)}
    rates: dict[str, dict[str, list[float]]] = {}
    is_lens, logits = [], {name: [] for name in builds}
    passed = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        for i, (what, (count, fraction)) in enumerate(files.items()):
            shard = folder / "shard.h5"
            write_mocks(shard, f"judged{i}", count, fraction)
            is_lens.append(store.read(shard, "systems", ["is_lens"])["is_lens"])
            for k in range(REPEATS if i < 2 else 1):
                for build, (code, checkout, given) in builds.items():
                    output = folder / ("scores.npy" if code == KERAS else "scores.h5")
                    took = scored(code, checkout, arguments.network, shard, output, *given)
                    if i < 2:
                        of = rates.setdefault(what.split(",")[0], {})
                        of.setdefault(build, []).append(count / took["seconds"])
                    if not k and code == KERAS:
                        logits[build].append(np.load(output))
                    elif not k:
                        systems = store.read(output, "systems")
                        logits[build].append(systems["logit"])
                        passed.append(np.mean(systems.get("stage", survey.FULL) == survey.FULL))
            shard.unlink()
    for (what, of), part in zip(rates.items(), passed, strict=False):
        for build, values in of.items():
            sys.stdout.write(
                f"{what}, {build}: {statistics.median(values):,.0f} images a second of processor "
                f"time ({min(values):,.0f} to {max(values):,.0f})\n"
            )
        pairs = [b / a for a, b in zip(*of.values(), strict=True)]
        shown = ", ".join(f"{ratio:.2f}" for ratio in pairs)
        sys.stdout.write(
            f"{what}, ratio: {statistics.median(pairs):.2f} (pairs: {shown}); "
            f"{part:.1%} of the images were seen by the full network\n"
        )
    compare(np.concatenate(is_lens) == 1, *(np.concatenate(x) for x in logits.values()))


def compare(is_lens: np.ndarray, full: np.ndarray, other: np.ndarray) -> None:
    """Print the completeness of two scores of the same images, and what they differ by."""
    rng = np.random.Generator(np.random.Philox(SEED))
    lenses, others = np.flatnonzero(is_lens), np.flatnonzero(~is_lens)
    sys.stdout.write(f"{len(lenses):,} lenses, {len(others):,} non-lenses\n")

    def found(lenses, others):
        values = []
        for logit in (full, other):
            falling = -np.sort(-logit[others])
            limits = [falling[int(len(others) * rate + 1e-9)] for rate in RATES]
            values.append([np.mean(logit[lenses] > limit) for limit in limits])
        return np.array(values)

    best = found(lenses, others)
    drawn = np.array(
        [
            np.diff(found(*(rng.choice(x, len(x)) for x in (lenses, others))), axis=0)[0]
            for _ in range(BOOTSTRAPS)
        ]
    )
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    for i, rate in enumerate(RATES):
        sys.stdout.write(
            f"false-positive rate {rate:g}: completeness {best[0, i]:.4f} by Keras, "
            f"{best[1, i]:.4f} by this build, {best[1, i] - best[0, i]:+.4f} "
            f"(95 %: {low[i]:+.4f} to {high[i]:+.4f}, paired)\n"
        )


def measure(step, *arguments) -> tuple[float, float]:
    """Run a step in a process of its own; return its processor time [s] and peak memory [MB]."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=_run, args=(sender, step, arguments))
    process.start()
    answer = receiver.recv()
    process.join()
    return answer


def _run(sender, step, arguments) -> None:
    step(*arguments)
    used = resource.getrusage(resource.RUSAGE_SELF)
    sender.send((used.ru_utime + used.ru_stime, used.ru_maxrss / 1024))


def ingest_shard(plan: Path, output: Path, settings: dict) -> None:
    """Read one shard."""
    shards.ingest(plan, output, settings=settings, **ABOUT)


def index(paths: list[Path], folder: Path, settings: dict) -> None:
    """Check and count all shards."""
    shards.index(paths, folder / "index.json", folder / "copies.csv", settings=settings, **ABOUT)


def chain(arguments: argparse.Namespace) -> None:
    """Go from files to a ranking in shards, each step a process, and print the plan of a survey."""
    training = arguments.network / "training.json"
    size, _, bands = json.loads(training.read_text())["shape"]
    if bands > 1:
        raise SystemExit("take a network of one band")
    observation = {"pixel_scale": 0.1, "size": size, "bands": ["VIS"]}
    given = {"ingest": "", "format": "classes", "observation": observation}
    settings = experiments.population_settings("lens_finding", given)
    ranking = experiments.defaults("lens_finding")["ranking"]
    took: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        drawn: np.ndarray = np.zeros((0, size, size, 1))
        if arguments.mocks:
            write_mocks(folder / "mocks.h5", "chain", arguments.files, 1e-3)
            drawn = store.memmap(folder / "mocks.h5", "cutouts", "pixels")
        write_images(folder / "images", arguments.files, size, drawn)
        more = ()
        if arguments.first:
            more = arguments.first / "model.onnx", arguments.first / "first_stage.json"
        each = arguments.images_per_job
        number = -(-arguments.files // each)

        def do(step: str, *call) -> None:
            took.setdefault(step, []).append(measure(*call))

        do("plan", shards.plan, folder / "images", folder / "plan", settings, each, number)
        data, scores = [], []
        for k in range(number):
            data.append(folder / f"{k:05d}.h5")
            scores.append(folder / f"scores/{k:05d}.h5")
            do("ingest", ingest_shard, folder / f"plan/{k:05d}.json", data[-1], settings)
            model = arguments.network / "model.onnx"
            files = map(str, (data[-1], model, training, scores[-1]))
            do("score", survey.score_shard, *files, "network", "survey", *map(str, more))
        do("index", index, data, folder, settings)
        files = [*map(str, data)], [*map(str, scores)], str(folder / "copies.csv"), None
        output = str(folder / "survey.parquet"), str(folder / "survey.html")
        do("rank", survey.rank, *files, *output, ranking | {"thumbnails": 1})
        do("page", survey.rank, *files, *output, ranking)
        disk = sum(path.stat().st_size for path in (*data, *scores, Path(output[0])))
        if arguments.old:
            read = measured(arguments.old, folder / "images", folder / "old.h5", size, kept=True)
            files = arguments.old, arguments.network, folder / "old.h5", folder / "old.npy"
            seconds = read["seconds"], scored(KERAS, *files)["seconds"]
            ours = sum(s for step, e in took.items() if step != "page" for s, _ in e)
            sys.stdout.write(
                f"{arguments.files} files to scores by the earlier build: {seconds[0]:.1f} s + "
                f"{seconds[1]:.1f} s, {arguments.files / sum(seconds):,.0f} images/s; to a ranking "
                f"by this one {ours:.1f} s: {sum(seconds) / ours:.2f} times\n"
            )
    write_plan(took, start_of_job(), arguments, disk)


def write_surveys(arguments: argparse.Namespace) -> None:
    """Write a survey of files, one of rows of a stack, and the settings that name both."""
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True)
    write_mocks(folder / "mocks.h5", "written", DISTINCT, 1e-3)
    drawn = store.memmap(folder / "mocks.h5", "cutouts", "pixels")
    size, count = drawn.shape[1], arguments.rows

    # the same ones again, each time moved by a pixel more: no two are copies
    def moved(first: int, last: int) -> np.ndarray:
        again, which = np.divmod(np.arange(first, last), DISTINCT)
        places = (np.arange(size) - again[:, None]) % size
        return drawn[which[:, None], :, places, 0].swapaxes(1, 2)

    with h5py.File(folder / "stack.h5", "w") as file, (folder / "rows.csv").open("w") as table:
        pixels = file.create_dataset("VIS", (count, size, size), np.float32)
        table.write("name,VIS\n")
        for first in range(0, count, DISTINCT):
            last = min(first + DISTINCT, count)
            pixels[first:last] = moved(first, last)
            table.writelines(f"row{i},stack.h5[VIS][{i}]\n" for i in range(first, last))
    for first in range(0, arguments.files, DISTINCT):
        last = min(first + DISTINCT, arguments.files)
        write_images(folder / "files", last - first, size, moved(first, last)[..., None], first)
    (folder / "mocks.h5").unlink()
    populations = {
        "files": {"ingest": str(folder / "files"), "format": "classes"},
        "rows": {"ingest": str(folder / "rows.csv"), "format": "table", "pixel_scale": 0.1},
    }
    for settings in populations.values():
        settings |= {"images_per_job": 20000, "observation": "euclid_vis"}
    chosen = {"experiments": {"lens_finding": {"populations": populations}}}
    (folder / "surveys.yaml").write_text(json.dumps(chosen, indent=1))


def start_of_job() -> float:
    """Return the processor time [s] in which Python has imported what a job needs."""
    code = "import lensmill.cutouts.shards, lensmill.experiments.lens_finding.survey, onnxruntime"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(ROOT / "src")})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def write_plan(took: dict, start: float, arguments: argparse.Namespace, disk: int) -> None:
    """Print what was measured for each step, and what a survey will take."""
    jobs = -(-arguments.images // arguments.images_per_job)
    write = sys.stdout.write
    write(f"{arguments.files} files in jobs of {arguments.images_per_job}, here:\n")
    # the pictures are as many for any survey
    pages = sum(s for s, _ in took["page"]) - sum(s for s, _ in took["rank"])
    total, wall = 2 * jobs * start + pages, 2 * jobs * start / min(arguments.cores, jobs) + pages
    for step, every in took.items():
        seconds = sum(s for s, _ in every)
        each, spread = seconds / arguments.files, 1
        if step in ("ingest", "score"):
            spread = min(arguments.cores, jobs)
        if step != "page":
            total += each * arguments.images
            wall += each * arguments.images / spread
        write(
            f"  {step:7s} {seconds:7.1f} s of processor time, {1 / each:9,.0f} images/s, "
            f"{max(mb for _, mb in every):5,.0f} MB in a job\n"
        )
    files = arguments.files / sum(s for step, e in took.items() if step != "rank" for s, _ in e)
    write(f"  all     {files:,.0f} images/s; each job begins in {start:.1f} s\n")
    write(
        f"{arguments.images:,} images on {arguments.cores} cores: 2 x {jobs:,} jobs, "
        f"{wall / 60:,.0f} minutes ({total / 3600:,.1f} hours of processor time), "
        f"{disk / arguments.files * arguments.images / 1e9:,.0f} GB of disk beside the images\n"
    )


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("ingest", help=ingest.__doc__)
    command.add_argument("--old", type=Path, help="checkout of the earlier build")
    command.add_argument("--files", type=int, default=20000)
    command.add_argument("--folder", help="where the files go for a while: 2 GB for 20,000")
    command.set_defaults(run=ingest)
    command = commands.add_parser("score", help=score.__doc__)
    command.add_argument("--network", type=Path, required=True, help="folder with its model.onnx")
    command.add_argument("--first", type=Path, help="folder of the first stage")
    command.add_argument("--old", type=Path, help="checkout whose Keras is used")
    command.add_argument("--images", type=int, default=126000, help="that are judged, in all")
    command.add_argument("--survey", type=int, default=21000, help="of which one in 1000 a lens")
    command.add_argument("--folder", help="where the images go for a while: 0.4 GB")
    command.set_defaults(run=score)
    command = commands.add_parser("chain", help=chain.__doc__)
    command.add_argument("--network", type=Path, required=True, help="folder with its model.onnx")
    command.add_argument("--files", type=int, default=4000)
    command.add_argument("--first", type=Path, help="folder of the first stage")
    command.add_argument("--old", type=Path, help="checkout of the earlier build")
    command.add_argument("--mocks", action="store_true", help="images of the simulator")
    command.add_argument("--images-per-job", type=int, default=2000)
    command.add_argument("--images", type=int, default=10**7, help="of the survey that is planned")
    command.add_argument("--cores", type=int, default=100)
    command.add_argument("--folder", help="where the files go for a while")
    command.set_defaults(run=chain)
    command = commands.add_parser("write", help=write_surveys.__doc__)
    command.add_argument("folder", type=Path, help="a new one: 22 GB")
    command.add_argument("--files", type=int, default=200000)
    command.add_argument("--rows", type=int, default=10**6)
    command.set_defaults(run=write_surveys)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
