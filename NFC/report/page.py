"""One HTML page that needs nothing but itself: no scripts, no other files; light and dark, wide and narrow screens.

Functions here return fragments of HTML, in which every text from outside is escaped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from pose2id.files import write_text

from .pictures import RIGHT, WRONG, data_uri, jpeg_uri
from .plots import figure_bytes
from .rank_lists import Hit, RankList

STYLE = f"""
:root {{ color-scheme: light dark; --paper: #ffffff; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --shade: #f3f5f7;
  --right: {RIGHT}; --wrong: {WRONG}; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --paper: #14181d; --ink: #e6e9ec; --soft: #9aa4af; --line: #3a424b; --shade: #1f252c;
    --right: #35c75a; --wrong: #ff5a52; }}
}}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; max-width: 68rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }}
h1 {{ font-size: 1.7rem; line-height: 1.2; }}
h2 {{ margin: 2.5rem 0 .5rem; font-size: 1.25rem; border-bottom: 1px solid var(--line); }}
h3 {{ margin: 1.5rem 0 .3rem; font-size: 1rem; }}
p {{ max-width: 48rem; }}
a {{ color: inherit; }}
p, figcaption {{ color: var(--soft); }}
nav {{ display: flex; flex-wrap: wrap; gap: .3rem 1rem; font-size: .9rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .25rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }}
thead th {{ background: var(--shade); }}
th[scope=row] {{ position: sticky; left: 0; background: var(--paper); text-align: left; font-weight: 600;
  white-space: normal; min-width: 9rem; max-width: 16rem; }}
.text {{ text-align: left; white-space: normal; }}
td.text {{ min-width: 11rem; }}
.paper {{ color: var(--soft); font-weight: normal; font-style: italic; }}
figure {{ margin: 1rem 0; }}
.plot {{ max-width: 100%; height: auto; background: #ffffff; border: 1px solid var(--line); border-radius: 6px; }}
.query {{ display: grid; grid-template-columns: 4.5rem 1fr; gap: 0 1rem; margin: 1rem 0 1.5rem; }}
.query h3 {{ grid-column: 1 / -1; margin: 0 0 .3rem; font-weight: normal; font-size: .9rem; }}
.query img {{ display: block; width: 100%; height: auto; aspect-ratio: 1 / 2; object-fit: cover; }}
.side {{ font-size: .8rem; color: var(--soft); }}
.hits {{ display: grid; grid-template-columns: repeat(10, minmax(0, 4.5rem)); gap: .35rem; margin-bottom: .4rem; }}
.hit {{ margin: 0; border: 4px solid var(--right); font-size: .7rem; text-align: center; }}
.hit.wrong {{ border: 4px dashed var(--wrong); }}
.hit figcaption {{ line-height: 1.3; }}
@media (max-width: 44rem) {{
  .hits {{ grid-template-columns: repeat(5, minmax(0, 4.5rem)); }}
  th[scope=row] {{ min-width: 8rem; max-width: 9rem; }}
}}
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Section:
    """A heading, the anchor that leads to it, and fragments of HTML below it."""

    anchor: str
    heading: str
    parts: Sequence[str]


def write_page(path: Path, title: str, introduction: str, sections: Sequence[Section]) -> Path:
    """Write the page to `path` and return it. Title, introduction and headings are plain text."""
    links = "".join(f'<a href="#{escape(section.anchor)}">{escape(section.heading)}</a>' for section in sections)
    body = "\n".join(
        f'<section id="{escape(section.anchor)}"><h2>{escape(section.heading)}</h2>\n{"".join(section.parts)}</section>'
        for section in sections
    )
    write_text(
        path,
        f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p>{escape(introduction)}</p>
<nav>{links}</nav>
{body}
</body>
</html>
""",
    )
    return Path(path)


def text_part(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def plot_part(figure: Figure, caption: str) -> str:
    """A figure as a scalable picture on white, with its caption."""
    return _figure(data_uri(figure_bytes(figure, "svg"), "image/svg+xml"), caption)


def picture_part(path: Path, caption: str) -> str:
    """A picture file, no wider than the page, with its caption."""
    return _figure(jpeg_uri(path, (1400, 2800)), caption)


def rank_list_part(heading: str, lists: Sequence[RankList]) -> str:
    """Queries with their nearest gallery pictures, before and after; frames are green where it is the same person."""
    blocks = "".join(map(_query, lists)) or "<p>None.</p>"
    return f"<h3>{escape(heading)}</h3>{blocks}"


def _figure(address: str, caption: str) -> str:
    text = escape(caption)
    return f'<figure><img class="plot" src="{address}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def _query(entry: RankList) -> str:
    name = escape(entry.query.name)
    change = f"AP {100 * entry.precision_before:.1f} → {100 * entry.precision_after:.1f}"
    return (
        f'<div class="query"><h3>{name}: {change}</h3>'
        f'<div><div class="side">query</div><img src="{jpeg_uri(entry.query)}" alt="query {name}"></div>'
        f'<div><div class="side">before</div>{_hits(entry.before)}'
        f'<div class="side">after</div>{_hits(entry.after)}</div></div>'
    )


def _hits(hits: Sequence[Hit]) -> str:
    return f'<div class="hits">{"".join(_hit(rank, hit) for rank, hit in enumerate(hits, start=1))}</div>'


def _hit(rank: int, hit: Hit) -> str:
    kind, mark = ("right", "✓") if hit.correct else ("wrong", "✗")
    alt = escape(f"rank {rank}, {kind}: {hit.path.name}")
    return (
        f'<figure class="hit {kind}"><img src="{jpeg_uri(hit.path)}" alt="{alt}" title="{alt}">'
        f"<figcaption>{mark} {rank}</figcaption></figure>"
    )
