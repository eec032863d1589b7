"""Draw the picture of the page "Reading an explanation": a report as a browser shows it.

    python docs/make_report_picture.py

writes ``docs/source/_static/report.png``. It needs Chromium. Motions are generated; nothing is
trained.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pyg_fsar import FewShotClassifier
from pyg_fsar.datasets import FakeSkeletonDataset

PICTURE = Path(__file__).parent / "source" / "_static" / "report.png"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT, STEP = 960, 1310, 25
EXAMPLES, QUERY, QUERY_CLASS = 2, 5, 1


def write_report(path: Path) -> None:
    """The report of one clip of five actions with two examples each."""
    data = FakeSkeletonDataset("ntu25", split="test", clips_per_class=8, lost_joints=0)
    classes = data.labels.unique().tolist()
    numbers = {label: (data.labels == label).nonzero().flatten().tolist() for label in classes}
    examples = [number for label in classes for number in numbers[label][:EXAMPLES]]
    # Of the movements that make up an action, the first is name enough.
    names = [data.class_names[int(data.labels[number])].split(",")[0] for number in examples]
    classifier = FewShotClassifier().fit(data.gather(examples), names)
    classifier.report(data[numbers[classes[QUERY_CLASS]][QUERY]], path)


def main(path: Path = PICTURE) -> None:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        sys.exit(f"the picture needs one of {', '.join(PROGRAMS)} on the PATH")
    path.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        write_report(page)
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += [f"--user-data-dir={folder}/profile", f"--window-size={WIDTH},{HEIGHT}"]
        address = f"{page.as_uri()}#step={STEP}"
        subprocess.run(
            [program, *options, f"--screenshot={path.resolve()}", address],
            check=True,
            capture_output=True,
            timeout=120,
        )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
