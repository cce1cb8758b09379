"""The picture in docs/start.md, a part of the demo's report: `python docs/pictures/report.py runs/demo/report.html`.

Needs the extra `test` and a Chromium.
"""

from __future__ import annotations

import shutil
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

with sync_playwright() as driver:
    # --no-sandbox: in a container there is no user namespace to make one of.
    browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.goto(Path(sys.argv[1]).resolve().as_uri())
    unit = page.locator("article.unit").first.bounding_box()
    assert unit is not None
    drawn = page.screenshot(full_page=True, clip={**unit, "height": 400})
    browser.close()
out = Path(__file__).with_name("report.png")
Image.open(BytesIO(drawn)).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(out, optimize=True)
print(f"{out.name}: {out.stat().st_size / 1000:.0f} kB")
