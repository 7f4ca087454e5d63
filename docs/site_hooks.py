"""Hooks of the documentation site, see mkdocs.yml: the repository's own tree, API pages, and formulas."""

import html
import logging
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
SHOWN = (
    "*.md",
    "LICENSE",
    "docs/**/*",
    "motions/README.md",
    "notebooks/*.ipynb",
    "assets/g1/*",
    "mjx_mimic/**/*.py",
)
"""Files of the repository that a page may link to."""
PACKAGES = ("clips", "robot", "task", "learning", "evaluation", "runs", "display")
"""Packages with an API page of their own, docs/api/PACKAGE.md."""
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)

log = logging.getLogger("mkdocs.hooks")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Give each file its path in the repository, so that relative links work there and on the site."""
    theme = [file for file in files if file.src_dir is None or Path(file.src_dir) != Path(config.docs_dir)]
    paths = sorted({path for pattern in SHOWN for path in ROOT.glob(pattern) if path.is_file()})
    shown = [
        File(path.relative_to(ROOT).as_posix(), str(ROOT), config.site_dir, config.use_directory_urls)
        for path in paths
        if "__pycache__" not in path.parts
    ]
    api = [
        File.generated(config, f"docs/api/{package}.md", content=api_page(package)) for package in PACKAGES
    ]
    return Files([*theme, *shown, *api])


def api_page(package: str) -> str:
    """List the modules of a package for mkdocstrings, which fills in their docstrings."""
    lines = [f"# {package.capitalize()}", f"The package `mjx_mimic.{package}`."]
    for path in sorted((ROOT / "mjx_mimic" / package).glob("**/*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if path.name != "__init__.py" or re.search("^(def|class) ", path.read_text("utf-8"), re.MULTILINE):
            lines.append(f"::: {module}")
    return "\n\n".join(lines)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn LaTeX into MathML, which browsers draw without a script."""

    def mathml(match: re.Match[str]) -> str:
        formula = html.unescape(match[2]).replace("{aligned}", "{split}")  # latex2mathml's name for it
        drawn = convert(formula, display="block" if match[1] == "div" else "inline")
        if "\\" in drawn or ("\\begin" in formula and "<mtable" not in drawn):
            log.warning("%s: latex2mathml cannot convert all of the formula %s", page.file.src_uri, formula)
        return drawn

    return FORMULA.sub(mathml, content)
