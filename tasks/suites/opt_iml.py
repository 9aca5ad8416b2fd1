"""OPT-IML Bench's validation and test tasks (Iyer et al. 2022, section 4), as they are registered: 250 prompts of each.

Tasks with candidates are ranked, unless their templates reason first (`opt_iml_{validation,test}_rank`); the others are
generated (`..._generated`), with 0 or 5 exemplars in OPT-IML's own style of prompts. Each has exact match and ROUGE, and
accuracy where there are candidates.
`flan_tune.evaluation.averages.opt_iml` averages them by level of generalization. The folder is that of all data.
"""

from flan_tune.evaluation.suites.definition import Protocol
from flan_tune.evaluation.suites.registered import task_suite

PROMPTS = 250
SPLITS = {'validation': ('validation', 'test'), 'test': ('test', 'validation')}


def _import() -> None:
    # Mixtures of the Bench are made of what is registered when it is imported.
    from flan_tune.tasks import cot, flan2021, niv2  # noqa: F401
    from flan_tune.tasks.opt_iml import bench

    bench.register()


SUITES = [
    task_suite(
        f'opt_iml_{name}_{kind}',
        f'opt_iml_{name}',
        protocols={protocol: Protocol(0, metric)},
        before=_import,
        split=splits,
        style='opt_iml',
        ranked=kind == 'rank',
        limit=PROMPTS,
        metric_fns=('rouge', 'exact_match'),
    )
    for name, splits in SPLITS.items()
    for kind, protocol, metric in (
        ('rank', 'rank', 'accuracy'),
        ('generated', 'direct', 'rougeL'),
    )
]
