"""The experiments of the paper, on any world that has its data sets and networks.

world.py says what lies where and fetches features, paper.py holds the published figures, tables.py and figures.py are
the experiments, catalogue.py names them, results.py puts them into files and one page.
"""
