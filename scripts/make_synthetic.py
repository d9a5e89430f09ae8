"""Write synthetic pedestrians to disk.

python scripts/make_synthetic.py --layout market1501 --out data/synthetic/Market-1501 --seed 1000 --test_pids 50
python scripts/make_synthetic.py --layout groups --out runs/groups --seed 0 --groups 12000

Layouts are those of the real data sets, `msmt17_v2` being the second version of MSMT17 and `custom` one's own folders
and table; `groups` is training material for the generator.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from NFC.datasets.synthetic.groups import write_groups
from NFC.datasets.synthetic.layouts import LAYOUTS, write_layout
from pose2id.errors import run_command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layout", choices=[*LAYOUTS, "groups"], required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1000, help="the world; training used world 0")
    parser.add_argument("--train_pids", type=int, default=0)
    parser.add_argument("--test_pids", type=int, default=50)
    parser.add_argument("--shots", type=int, help="pictures of a person by one camera; default: the layout's own")
    parser.add_argument("--groups", type=int, default=12000)
    parser.add_argument("--workers", type=int, default=None, help="processes; default: one a core")
    args = parser.parse_args()
    if args.layout == "groups":
        write_groups(args.out, args.seed, args.groups, args.workers)
        print(f"wrote {args.groups} groups to {args.out}")
    else:
        options = {} if args.shots is None else {"shots": args.shots}
        count = write_layout(args.layout, args.out, args.seed, args.train_pids, args.test_pids, args.workers, **options)
        print(f"wrote {count} pictures to {args.out}")


if __name__ == "__main__":
    run_command(main)
