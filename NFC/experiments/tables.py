"""Tables 1 to 10 of the paper: which rows are scored on which data set with which network."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..chain import Chain
from ..matching import KReciprocal
from ..report.plots import cmc_plot, sweep_plot
from ..report.rank_lists import compare_rank_lists
from ..report.table import Figures, ResultTable, Row, score_row
from ..scoring.scores import Scores
from ..steps import GeneratedPictures, NeighbourCentralization, Side
from .paper import BenchmarkRow, benchmark_rows, paper_rows
from .results import Result
from .world import Bench, Lacking, World, is_built

MAIN = ("mAP", "Rank-1", "ID2")
IPG, NFC, RERANKING = GeneratedPictures(), NeighbourCentralization(), KReciprocal()
BASE, OURS = Chain(), Chain.of(IPG, NFC)
SIDES = (Side.gallery, Side.query, Side.both)
COUNTS = (1, 2, 4, 8)  # generated pictures of Table 6
ABLATION = {"Base": BASE, "+NFC": Chain.of(NFC), "+IPG": Chain.of(IPG), "+NFC+IPG": OURS}


def table1(world: World) -> Result:
    """Every network before and after centralization."""
    entries = [*benchmark_rows(), *_stand_ins(world)]
    rows = [row for entry in entries for row in _before_and_after(world, entry)]
    return Result("Table 1: networks before and after centralization", _of_data_sets(world, "Table 1", rows, entries))


def table2(world: World) -> Result:
    """NFC and IPG, alone and together, with the curves and the queries that changed most."""
    bench = world.bench("market1501", "transreid")
    scores = _score(bench, ABLATION)
    curves = cmc_plot({row.name: row.cmc for row in scores}, "CMC, Market1501")
    return Result(
        "Table 2: what each part does (Market1501, TransReID)",
        _scores_table("Table 2", scores, paper_rows("table2")),
        plots={"cmc": (curves, "Share of queries with a true match among the first k.")},
        rank_lists=compare_rank_lists(bench.dataset, bench.query, bench.gallery, BASE, OURS),
    )


def table3(world: World) -> Result:
    """NFC on gallery, query or both."""
    rows = {"Base": BASE} | {f"NFC on {side.value}": Chain.of(replace(NFC, on=side)) for side in SIDES}
    return _simple(world, "Table 3", "where NFC is applied (Market1501, TransReID)", rows, "table3")


def table4(world: World) -> Result:
    """IPG on gallery, query or both."""
    rows = {"Base": BASE} | {f"IPG on {side.value}": Chain.of(replace(IPG, on=side)) for side in SIDES}
    return _simple(world, "Table 4", "where generated pictures are fused (Market1501, TransReID)", rows, "table4")


def table5(world: World) -> Result:
    """A network that never learned to tell people apart."""
    scores = _score(world.bench("market1501", "generic"), ABLATION)
    metrics = ("mAP", "Rank-1", "Rank-5", "Rank-10", "ID2")
    table = _scores_table("Table 5", scores, paper_rows("table5"), metrics)
    network = world.sources.networks["generic"].extractor.rpartition(":")[2]
    return Result(f"Table 5: a network without ReID training (Market1501, {network})", table)


def table6(world: World) -> Result:
    """How many generated pictures, and where."""
    bench = world.bench("market1501", "transreid")
    counts = [count for count in COUNTS if count <= world.sources.poses]
    scores = [bench.score("Base", BASE)]
    for side in SIDES:
        for count in counts:
            name = f"{count} on {side.value}"
            scores.append(first_generated(bench, count).score(name, Chain.of(replace(IPG, on=side))))
    base, of_side = scores[0], {side: scores[1 + i * len(counts) :][: len(counts)] for i, side in enumerate(SIDES)}
    lines = {side.value: [base.mAP, *(row.mAP for row in rows)] for side, rows in of_side.items()}
    plot = sweep_plot([0, *counts], lines, "generated pictures", "mAP by number of generated pictures")
    return Result(
        "Table 6: number of generated pictures (Market1501, TransReID)",
        _scores_table("Table 6", scores, {}),
        plots={"number": (plot, "mAP with generated pictures fused into gallery, query or both; 0 is the base.")},
    )


def table7(world: World) -> Result:
    """Against and with k-reciprocal re-ranking."""
    rows = {
        "Base": BASE,
        "Base, re-ranked": Chain.of(RERANKING),
        "+NFC+IPG": OURS,
        "+NFC+IPG, re-ranked": Chain.of(IPG, NFC, RERANKING),
    }
    scores = _score(world.bench("market1501", "transreid"), rows)
    table = _scores_table("Table 7", scores, paper_rows("table2"))
    return Result("Table 7: with k-reciprocal re-ranking (20, 6, 0.3)", table)


def table8(world: World) -> Result:
    """MSMT17."""
    scores = _score(world.bench("msmt17", "transreid_msmt17"), ABLATION)
    return Result("Table 8: MSMT17, TransReID", _scores_table("Table 8", scores, {}))


def table9(world: World) -> Result:
    """Our rows beside other methods on Market1501 and Occluded-REID."""
    return _methods(world, "Table 9", "other methods on Market1501 and Occluded-REID", ("market1501", "occluded_reid"))


def table10(world: World) -> Result:
    """Our rows beside other methods on SYSU-MM01."""
    return _methods(world, "Table 10", "other methods on SYSU-MM01", ("sysu_all", "sysu_indoor"))


def first_generated(bench: Bench, count: int) -> Bench:
    """The bench with only the first `count` generated pictures of each sample."""
    query, gallery = (replace(part, generated=part.generated[:, :count]) for part in (bench.query, bench.gallery))
    return replace(bench, query=query, gallery=gallery)


def _methods(world: World, name: str, subject: str, datasets: Sequence[str]) -> Result:
    """Methods as they were published, then with centralization."""
    entries = [entry for entry in [*benchmark_rows(), *_stand_ins(world)] if entry.dataset in datasets]
    before, after = zip(*(_before_and_after(world, entry) for entry in entries), strict=True)
    return Result(f"{name}: {subject}", _of_data_sets(world, name, [*before, *after], entries))


def _stand_ins(world: World) -> list[BenchmarkRow]:
    """A row for each data set of Table 1 for which the world has none of the paper's networks."""
    if world.stand_in is None:
        return []
    entries = benchmark_rows()
    served = {entry.dataset for entry in entries if entry.network in world.sources.networks}
    titles = {entry.dataset: entry.row.split(",")[0] for entry in entries if entry.dataset not in served}
    extractor = world.sources.networks[world.stand_in].extractor
    return [
        BenchmarkRow(f"{title}, stand-in {world.stand_in}", dataset, world.stand_in, extractor, {}, {})
        for dataset, title in titles.items()
    ]


def _simple(world: World, name: str, subject: str, rows: Mapping[str, Chain], paper: str) -> Result:
    scores = _score(world.bench("market1501", "transreid"), rows)
    known = {"Base": paper_rows("table2")["Base"], **paper_rows(paper)}
    return Result(f"{name}: {subject}", _scores_table(name, scores, known))


def _before_and_after(world: World, entry: BenchmarkRow) -> tuple[Row, Row]:
    """The rows of a network before and after centralization; where it cannot be run, the first says what it lacks."""
    before, after = Row(entry.row, paper=entry.base), Row(f"{entry.row} + ours", paper=entry.ours)
    if entry.network not in world.sources.networks:
        none = f"no weights of it in the {world.name} world"
        return replace(before, note=none if is_built(entry.extractor) else f"needs extractor {entry.extractor}"), after
    try:
        bench = world.bench(entry.dataset, entry.network)
    except Lacking as error:
        world.remember(error)
        return replace(before, note=error.note), after
    return score_row(bench.score(before.name, BASE), entry.base), score_row(bench.score(after.name, OURS), entry.ours)


def _score(bench: Bench, rows: Mapping[str, Chain]) -> list[Scores]:
    return [bench.score(name, chain) for name, chain in rows.items()]


def _scores_table(
    name: str, scores: Sequence[Scores], paper: Mapping[str, Figures], metrics: Sequence[str] = MAIN
) -> ResultTable:
    return _table(name, [score_row(row, paper.get(row.name)) for row in scores], metrics)


def _of_data_sets(world: World, name: str, rows: Sequence[Row], entries: Sequence[BenchmarkRow]) -> ResultTable:
    """A table of rows of several data sets, which says with which options they were read."""
    options = {key: world.options(key) for key in dict.fromkeys(entry.dataset for entry in entries)}
    return replace(_table(name, rows), caption="; ".join(f"{key}: {line}" for key, line in options.items() if line))


def _table(name: str, rows: Sequence[Row], metrics: Sequence[str] = MAIN) -> ResultTable:
    return ResultTable(name, rows, metrics, paper=True)
