"""A results table as text for a terminal, Markdown, CSV, LaTeX and HTML."""

import csv
from html import escape
from io import StringIO

from rich.table import Table
from rich.text import Text

from .table import ResultTable

LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
TEXT_COLUMNS = ("", "Note")  # aligned to the left; the others hold figures


def to_terminal(table: ResultTable) -> Table:
    """A rich table, for `Console().print`; notes stand below it, and the paper's figures have short headers."""
    notes = [f"{row.name}: {row.note}" for row in table.rows if row.note]
    caption = "\n".join([table.caption, *notes]).strip()
    title, below = Text(table.title, "table.title"), Text(caption, "table.caption") if caption else None
    drawn = Table(title=title, caption=below, caption_justify="left")
    header = [column for column in table.header if column != "Note"]
    for column in header:
        short = "paper" if column.endswith(" paper") else column
        justify, width = ("right", None) if column else ("left", 20)
        drawn.add_column(short, justify=justify, min_width=width, no_wrap=bool(column), overflow="fold")
    for cells in table.cells:
        drawn.add_row(*map(Text, cells[: len(header)]))  # names may look like markup
    return drawn


def to_markdown(table: ResultTable) -> str:
    """A Markdown table under a heading."""
    rule = ["---" if column in TEXT_COLUMNS else "---:" for column in table.header]
    lines = [table.header, rule, *([_markdown(cell) for cell in cells] for cells in table.cells)]
    rows = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"# {table.title}\n\n{rows}\n" + (f"\n{table.caption}\n" if table.caption else "")


def to_csv(table: ResultTable) -> str:
    """Unrounded figures in [0, 1] for other programs: each metric, its spread over trials, the paper's figure."""
    parts = {"": "values", " spread": "spreads", " paper": "paper"}
    columns = [
        (metric, part, suffix)
        for metric in table.metrics
        for suffix, part in parts.items()
        if part == "values" or any(metric in getattr(row, part) for row in table.rows)
    ]
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", *(metric + suffix for metric, _, suffix in columns), "note"])
    for row in table.rows:
        writer.writerow([row.name, *(getattr(row, part).get(metric, "") for metric, part, _ in columns), row.note])
    return text.getvalue()


def to_latex(table: ResultTable) -> str:
    """A `table` environment with booktabs rules (`\\usepackage{booktabs}`)."""
    alignment = "".join("l" if column in TEXT_COLUMNS else "r" for column in table.header)
    lines = [" & ".join(map(_latex, cells)) + r" \\" for cells in (table.header, *table.cells)]
    return "\n".join([
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_latex(' '.join(filter(None, [table.title, table.caption])))}}}",
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        lines[0],
        r"\midrule",
        *lines[1:],
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
        "",
    ])  # fmt: skip


def to_html(table: ResultTable) -> str:
    """A `<table>` in a box that scrolls sideways on narrow screens."""
    header = "".join(f'<th scope="col"{_css(column)}>{_html_header(column)}</th>' for column in table.header)
    body = "".join(
        "<tr>" + "".join(_html_cell(column, cell) for column, cell in zip(table.header, cells, strict=True)) + "</tr>"
        for cells in table.cells
    )
    caption = f"<p>{escape(table.caption)}</p>" if table.caption else ""
    return f'<div class="wide"><table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>{caption}'


def _html_header(column: str) -> str:
    """A column name, "paper" below its metric: the figures are narrower than both words."""
    return escape(column).replace(" paper", "<br>paper")


def _html_cell(column: str, cell: str) -> str:
    return f'<th scope="row">{escape(cell)}</th>' if not column else f"<td{_css(column)}>{escape(cell)}</td>"


def _css(column: str) -> str:
    kind = "text" if column in TEXT_COLUMNS else "paper" if column.endswith(" paper") else ""
    return f' class="{kind}"' if kind else ""


def _markdown(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _latex(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text)
