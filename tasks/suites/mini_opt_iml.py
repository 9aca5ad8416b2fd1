"""The embedded world at OPT-IML's three levels of generalization (Iyer et al. 2022, section 4): 40 prompts of each task.

The options of tasks of wholly held-out categories, of further tasks of trained categories, and of trained tasks on new
examples are ranked; those that reason in the last two are also asked for their chains (`mini_opt_iml_reasoning`). All
in OPT-IML's own style of prompts, with 0 exemplars or as many as `--shots` says. The questions are generated.
"""

from flan_tune.evaluation.suites.definition import Protocol
from flan_tune.evaluation.suites.registered import task_suite

PROMPTS = 40
LEVELS = ('fully_held_out', 'partially_held_out', 'supervised')
REASONING = (
    *('mini_given_once', 'mini_given_twice', 'mini_given_three_times'),
    *('mini_problem_both', 'mini_problem_lost', 'mini_problem_zun_lost'),
)


def _import() -> None:
    from flan_tune.tasks import mini  # noqa: F401


SUITES = [
    *(
        task_suite(
            f'mini_opt_iml_{level}',
            f'mini_{level}',
            protocols={'rank': Protocol(0, 'accuracy')},
            before=_import,
            style='opt_iml',
            limit=PROMPTS,
        )
        for level in LEVELS
    ),
    task_suite(
        'mini_opt_iml_reasoning',
        REASONING,
        protocols={'cot': Protocol(0, 'exact_match')},
        before=_import,
        style='opt_iml',
        limit=PROMPTS,
    ),
]
