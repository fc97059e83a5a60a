"""What it is worth to fit layers for what becomes of their output, on the classifiers of ``denoiserep.py``.

    python benchmarks/downstream.py --data DIR [--quick] [--json FILE]

Paired hardening without and with ``downstream``, at the weights of clean images chosen for the former; images,
seeds and intervals are those of ``denoiserep.py``.
"""

from __future__ import annotations

from arguments import benchmark_parser, parse_with_data, write_results
from denoiserep import SEEDS, Classifiers
from provenance import provenance

FORMS = ("baseline", "paired", "paired_downstream")


def main() -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="few images, one seed: a smoke test, not a figure")
    arguments = parse_with_data(parser)
    began, classifiers = provenance(SEEDS[0]), Classifiers.read(arguments.data, quick=arguments.quick)
    results = {name: classifiers.rows(name, FORMS, quick=arguments.quick) for name in classifiers.networks}
    write_results(results | {"quick": arguments.quick, "provenance": began}, arguments.json)


if __name__ == "__main__":
    main()
