"""What a service finds when it looks at itself: a line each, for people or as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing looked at, in a sentence that says what to do about it."""

    subject: str
    verdict: Literal["ok", "warn", "fail"]
    text: str


def tell(findings: Sequence[Finding], as_json: bool) -> bool:
    """Print them and return whether nothing has failed."""
    for finding in findings:
        columns = f"{finding.verdict:<6}{finding.subject}: {finding.text}"
        print(json.dumps(asdict(finding)) if as_json else columns)
    return all(finding.verdict != "fail" for finding in findings)
