"""The documentation builds without a warning, needs nothing from elsewhere, and works in a browser."""

import ast
import functools
import http.server
import io
import logging
import pathlib
import re
import shutil
import subprocess
import threading
import time
import urllib.parse
from html.parser import HTMLParser

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from PIL import Image

import pgm_jax

ROOT = pathlib.Path(__file__).resolve().parent.parent
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page(HTMLParser):
    """What a page of the site refers to and can be referred to by."""

    def __init__(self, text):
        super().__init__()
        self.title, self.images, self.links, self.resources, self.ids = "", [], [], [], set()
        self._in_title = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        self._in_title = tag == "title"
        if "id" in a:
            self.ids.add(a["id"])
        if tag == "img":
            self.images.append((a.get("src"), a.get("alt")))
        if tag == "a" and "href" in a:
            self.links.append(a["href"])
        loads = a.get("src") if tag in ("img", "script", "iframe", "source", "audio", "video", "embed") else None
        if tag == "link" and a.get("rel") not in ("canonical", "prev", "next"):
            loads = a.get("href")
        if loads:
            self.resources.append(loads)

    def handle_data(self, data):
        if self._in_title:
            self.title += data.strip()

    def handle_endtag(self, tag):
        self._in_title = False


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, built in strict mode: a warning, such as one of a broken link, is an error."""
    folder = tmp_path_factory.mktemp("site")
    log, handler = logging.getLogger("mkdocs"), logging.StreamHandler(io.StringIO())
    handler.setLevel(logging.WARNING)
    log.addHandler(handler)
    try:
        build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    except SystemExit as error:
        raise AssertionError(f"{error}\n{handler.stream.getvalue()}") from None
    finally:
        log.removeHandler(handler)
    return folder


@pytest.fixture(scope="module")
def pages(site):
    """The pages by the path of their file in the site."""
    return {path.relative_to(site).as_posix(): Page(path.read_text()) for path in site.rglob("*.html")}


def test_every_page_has_a_title_of_its_own(pages):
    titles = {path: page.title for path, page in pages.items() if path != "404.html"}
    assert all(titles.values()) and len(set(titles.values())) == len(titles) > 40, titles


def test_every_image_has_words(pages):
    images = [(path, *image) for path, page in pages.items() for image in page.images]
    assert len(images) > 20
    assert not [image for image in images if not image[2] or len(image[2]) < 4]


def test_nothing_comes_from_elsewhere(site, pages):
    foreign = re.compile(r"(?:https?:)?//")
    assert not [(path, r) for path, page in pages.items() for r in page.resources if foreign.match(r)]
    for sheet in site.rglob("*.css"):
        urls = re.findall(r"url\(([^)]+)\)|@import\s+([^;]+)", sheet.read_text())
        assert not [url for pair in urls for url in pair if foreign.match(url.strip("\"' "))], sheet.name


def test_links_and_anchors_resolve(site, pages):
    broken = []
    for path, page in pages.items():
        here = pathlib.PurePosixPath(path).parent
        for link in [*page.links, *page.resources]:
            parts = urllib.parse.urlsplit(link)
            # The page of a missing address is served anywhere, so that its links start from the root.
            if parts.scheme or parts.netloc or path == "404.html":
                continue
            target = (site / here / urllib.parse.unquote(parts.path)).resolve() if parts.path else site / path
            target = target / "index.html" if target.is_dir() else target
            file = target.relative_to(site.resolve()).as_posix() if target.exists() else None
            known = file is not None and (not parts.fragment or file not in pages or parts.fragment in pages[file].ids)
            broken += [] if known else [(path, link)]
    assert not broken


def exported(module):
    """The names in `__all__` of a module or package front, read without importing it."""
    file = ROOT / "pgm_jax" / f"{module}.py"
    tree = ast.parse((file if file.exists() else file.with_suffix("") / "__init__.py").read_text())
    assignments = [node for node in tree.body if isinstance(node, ast.Assign)]
    lists = [node.value for node in assignments if ast.unparse(node.targets[0]) == "__all__"]
    return [name for names in lists for name in ast.literal_eval(names)]


def test_every_public_name_is_in_the_reference(pages):
    anchors = {anchor for path, page in pages.items() if path.startswith("api/") for anchor in page.ids}
    wanted = {f"pgm_jax.{module}" for module in pgm_jax._MODULES if module != "training"}
    wanted |= {"pgm_jax.training.loop.train", "pgm_jax.training.in_memory.fit"}
    names = [(module, name) for module in pgm_jax._MODULES for name in exported(module)]
    assert len(names) > 80
    for module, name in names:
        # A function that has the name of its file is documented with the file; constants are values of a class.
        own = f"pgm_jax.{module}.{name}"
        wanted |= set() if f"{own}.{name}" in anchors or name in ("ACCURATE", "QUICK") else {own}
    assert not wanted - anchors
    assert not [anchor for anchor in anchors if re.search(r"\._[a-z]", anchor)]


def test_the_gallery_shows_every_task_experiment_and_notebook(pages):
    text = (ROOT / "docs" / "gallery" / "index.md").read_text()
    configuration = (ROOT / "configs" / "fashion_mnist.py").read_text()
    tasks = re.findall(r"^ {12}(\w+)=dict\($|^ {12}(\w+)=dict\(operator", configuration, re.MULTILINE)
    names = [one or other for one, other in tasks if (one or other) != "unet"]
    assert len(names) > 15
    wanted = [f"`{name}`" for name in names]
    wanted += [f"configs/toys/{path.name}" for path in (ROOT / "configs" / "toys").glob("*.py")]
    wanted += [f"({path.stem}.md)" for path in (ROOT / "colabs").glob("*.py")]
    assert not [words for words in wanted if words not in text]


def test_formulas_are_mathml(site):
    formulas = 0
    for path in site.rglob("*.html"):
        text = path.read_text()
        found = re.findall(r"<math.*?</math>", text, re.DOTALL)
        formulas += len(found)
        assert 'class="arithmatex"' not in text, f"{path}: a formula was left as it is written"
        assert not [formula for formula in found if "\\" in formula], f"{path}: a command is not known"
    assert formulas > 50


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_as_the_standard_defines_it():
    assert contrast("#000000", "#ffffff") == pytest.approx(21) and contrast("#777777", "#ffffff") < 4.5


@pytest.mark.parametrize("scheme", ["default", "slate"])
def test_text_stands_out_from_its_ground(scheme):
    sheet = (ROOT / "docs" / "assets" / "site.css").read_text()
    (block,) = re.findall(rf'\[data-md-color-scheme="{scheme}"\] \{{(.*?)\n\}}', sheet, re.DOTALL)
    colours = dict(re.findall(r"--(?:md-)?([\w-]+): (#[0-9a-f]{6});", block))
    grounds = {
        "default-fg": "default-bg-color",
        "typeset": "default-bg-color",
        "accent-fg": "default-bg-color",
        "code": "code-bg-color",
        "doc-symbol": "code-bg-color",
        "primary-bg": "primary-fg-color",
        "footer-fg": "footer-bg-color",
    }
    pairs = [
        (name, ground)
        for name in colours
        for prefix, ground in grounds.items()
        if name.startswith(prefix) and name not in ("code-bg-color", *grounds.values())
    ]
    pairs += [(name, f"{ground}--dark") for name, ground in pairs if ground.startswith("footer")]
    assert len(pairs) > 20
    low = {pair: round(contrast(*map(colours.get, pair)), 2) for pair in pairs}
    assert not {pair: value for pair, value in low.items() if value < 4.5}


# Searches in a frame. A worker of the browser does it, for which the clock of a headless browser does not wait; for
# answers of the server it does.
PROBE = """<!doctype html><title>probe</title><iframe src="/?q=restore"></iframe><ol></ol><script>
const found = () => [...document.querySelector("iframe").contentDocument.querySelectorAll(".md-search-result__link")];
(async () => {
  for (let i = 0; i < 100 && !found().length; i++) await fetch("/wait");
  document.querySelector("ol").innerHTML = found().map(link => `<li data-found="${link.href}">`).join("");
})();
</script>"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the site and the probe, and keeps the status of every request."""

    requests: list = []

    def do_GET(self):
        if self.path not in ("/probe", "/wait"):
            super().do_GET()
            return
        time.sleep(0.3 if self.path == "/wait" else 0)
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PROBE.encode() if self.path == "/probe" else b"")

    def log_request(self, code="-", size="-"):
        self.requests.append((self.path, int(code)))

    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="module")
def address(site):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def opened(address, path, folder):
    """The document after its scripts have run, what the console said, and what was asked of the server."""
    Handler.requests = []
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    # Whatever is fetched from elsewhere fails and shows in the console.
    command += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", f"--user-data-dir={folder}"]
    command += ["--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom", f"{address}/{path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.stdout, re.findall(r"CONSOLE.*", done.stderr), list(Handler.requests)


@pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome is installed")
@pytest.mark.parametrize("path", ["", "gallery/", "concepts/prox/", "api/operators/"])
def test_a_browser_shows_the_page(path, site, address, tmp_path):
    document, console, requests = opened(address, path, tmp_path)
    assert not console
    assert not [request for request in requests if request[1] not in (200, 304)]
    page = Page(document)
    fetched = {urllib.parse.unquote(request.split("?")[0]).lstrip("/") for request, _ in requests}
    for source, _ in page.images:
        file = (site / path / source).resolve()
        assert file.relative_to(site.resolve()).as_posix() in fetched
        if file.suffix == ".png":
            Image.open(file).verify()


@pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome is installed")
def test_search_finds_restore(address, tmp_path):
    document, console, _ = opened(address, "probe", tmp_path)
    assert not console
    found = re.findall(r'data-found="([^"]+)"', document)
    assert any("api/restoration/" in link for link in found), found
