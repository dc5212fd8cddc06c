"""``python -m tests.abuse``: addresses, media and requests of an attacker; 1 unless all is well."""

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

from servicekit import logs
from tests.abuse import internet
from tests.abuse.run import Campaign, Scale


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", type=int, default=1, help="take each n-th address and file")
    parser.add_argument("--requests", type=int, default=200, help="requests to each RPC and route")
    parser.add_argument("--log", type=Path, help="keep here what was logged")
    options = parser.parse_args()
    try:
        internet.enter()
    except OSError as error:
        print(f"abuse: cannot be run, {error}")
        return 1
    with tempfile.TemporaryDirectory(prefix="abuse-") as folder:
        log = options.log or Path(folder, "log")
        with log.open("w") as file:
            os.dup2(file.fileno(), sys.stderr.fileno())
        logs.set_up(as_json=True)
        campaign = Campaign(Scale(options.step, options.requests), Path(folder), log)
        report = asyncio.run(campaign.run())
    print(*report.lines(), sep="\n")
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
