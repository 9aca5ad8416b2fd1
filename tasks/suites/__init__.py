"""Evaluation suites from their publishers' own files. Importing registers them by name; no file is read."""

from flan_tune.evaluation.suites.definition import register_suite
from flan_tune.tasks.suites import (
    bbh,
    civil_comments,
    crows_pairs,
    flan2021,
    gsm8k,
    mgsm,
    mini_bbh,
    mini_mgsm,
    mini_mmlu,
    mini_opt_iml,
    mini_tydiqa,
    mmlu,
    natural_instructions,
    opt_iml,
    opt_tasks,
    raft,
    structured,
    t0,
    tydiqa,
    winogender,
    xor_attriqa,
    xquad,
    xtreme_up,
)

_MODULES = (
    *(bbh, mmlu, mgsm, gsm8k, tydiqa),
    *(mini_mmlu, mini_bbh, mini_tydiqa, mini_mgsm, mini_opt_iml),
    *(natural_instructions, t0, flan2021, structured, opt_tasks, opt_iml),
    *(raft, winogender, crows_pairs, civil_comments),
    *(xor_attriqa, xtreme_up, xquad),
)
for _module in _MODULES:
    for _suite in _module.SUITES:
        register_suite(_suite)
