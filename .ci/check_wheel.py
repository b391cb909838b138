"""Says what a wheel holds, and fails when that is anything but the package. Usage: check_wheel.py FILE.whl"""

from __future__ import annotations

import re
import sys
import zipfile

EXPECTED = re.compile(
    r"lamina/(\w+/)*\w+\.pyi?|lamina/py\.typed|lamina/_core\.[\w.-]+\.so"
    r"|lamina-[\w.]+\.dist-info/(METADATA|RECORD|WHEEL|entry_points\.txt|licenses/LICENSE)"
)


def main(path: str) -> int:
    with zipfile.ZipFile(path) as wheel:
        files = {info.filename: info.file_size for info in wheel.infolist() if not info.is_dir()}
    stray = [name for name in files if not EXPECTED.fullmatch(name)]
    needed = ["lamina/__init__.py", "lamina/_core.pyi", "lamina/py.typed"]
    missing = [name for name in needed if name not in files]
    if not any(name.endswith(".so") for name in files):
        missing.append("the extension")
    print(f"{path}: {len(files)} files, {sum(files.values()) / 1e6:.1f} MB unpacked")
    for name in stray:
        print(f"holds {name}, which is no part of the package")
    for name in missing:
        print(f"lacks {name}")
    return 1 if stray or missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
