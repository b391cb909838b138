"""Sums the JUnit reports of a CI run, holds every skip to the allow-list, and says what failed.

Usage: report.py FOLDER STEPS_PASSED [FAILED_STEP...]. The last line reads `N passed, N failed`; the exit status is 1
when anything failed or was skipped for a reason that no regular expression in skips.txt, beside this file, allows.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def main(folder: str, steps_passed: str, *failed_steps: str) -> int:
    lines = (Path(__file__).parent / "skips.txt").read_text().splitlines()
    allowed = [re.compile(line) for line in lines if line and not line.startswith("#")]
    passed, failed, skipped, unexpected = int(steps_passed), [f"step: {step}" for step in failed_steps], 0, []
    for report in sorted(Path(folder).glob("*.xml")):
        for case in ElementTree.parse(report).iter("testcase"):
            name = f"{report.stem}: {case.get('classname')}::{case.get('name')}"
            skip = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                failed.append(name)
            elif skip is not None:
                reason = skip.get("message") or skip.text or ""
                skipped += 1
                if not any(pattern.search(reason) for pattern in allowed):
                    unexpected.append(f"{name}: skipped, and no line of .ci/skips.txt allows it: {reason}")
            else:
                passed += 1
    failed += unexpected
    for name in failed:
        print(f"FAILED {name}")
    if skipped > len(unexpected):
        print(f"{skipped - len(unexpected)} skipped, as .ci/skips.txt allows")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
