"""``python -m tests.chaos``: kill, freeze and cut a deployment under load; 1 unless all is well."""

import argparse
import asyncio
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from tests.chaos.monkey import plan
from tests.chaos.run import Campaign, run
from tests.chaos.versions import ROOT, check_out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of load and faults")
    parser.add_argument("--seed", type=int, default=1, help="the same seed plans the same faults")
    parser.add_argument("--pace", type=float, default=6.5, help="mean seconds between faults")
    parser.add_argument("--rate", type=float, default=20.0, help="items ordered in a second")
    parser.add_argument("--from", dest="before", help="begin with this version, not with ours")
    parser.add_argument("--to", dest="after", help="who is struck comes back as this version")
    parser.add_argument("--keep", metavar="FOLDER", help="leave logs and data here; a short path")
    options = parser.parse_args()
    faults = plan(options.seed, options.seconds, options.pace)
    place = nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory("chaos")
    with place as folder:
        campaign = Campaign(
            options.seconds,
            options.seed,
            faults,
            options.rate,
            source=_version(options.before, Path(folder, "from")),
            successor=_version(options.after, Path(folder, "to")),
        )
        report = asyncio.run(run(campaign, Path(folder)))
    print(*report.lines(), sep="\n")
    return 0 if report.verdict.is_clean else 1


def _version(name: str | None, folder: Path) -> Path:
    return check_out(name, folder) if name else ROOT


if __name__ == "__main__":
    sys.exit(main())
