"""Scores as tables, plots, rank lists and one HTML page.

table.py is what a table says, formats.py how it looks as text, plots.py and pictures.py are figures, page.py is the
HTML page, write.py and score_page.py put the scores of an evaluation into files.
"""

from .write import terminal_table, write_report

__all__ = ["terminal_table", "write_report"]
