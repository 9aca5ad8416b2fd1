"""Packaging of flan_tune: `tasks/` installs as `flan_tune.tasks`, `gin/` as data of `flan_tune.gin`."""

import pathlib

from setuptools import find_namespace_packages, find_packages, setup

ROOT = pathlib.Path(__file__).parent
# What models, partitioning, training and decoding need; the rest feeds, steers and reports on them.
CORE = [
    'jax>=0.10,<0.12',
    'flax>=0.12.8,<0.13',
    'optax>=0.2.8,<0.3',
    'orbax-checkpoint>=0.12,<0.13',
    'etils[epath]>=1.12,<2',
    'numpy>=2,<3',
    'safetensors>=0.8,<1',
    'tensorstore>=0.1.74,<0.2',
    'msgpack>=1,<2',
]
DATA = [
    # seqio and tensorflow-datasets are named beside t5 so that their releases are laid over the
    # nightlies that t5 pulls in (see tests/test_packaging.py).
    't5>=0.9.4,<0.10',
    'seqio>=0.0.20,<0.1',
    'tensorflow-datasets>=4.9.10,<5',
    'tensorflow>=2.21,<3',
    'importlib_resources>=6',  # TFDS prepares data sets with it, and does not ask for it.
    'grain>=0.2.13,<0.3',
    'sentencepiece>=0.2,<0.3',
    'tokenizers>=0.21,<0.24',
    'gin-config>=0.5,<0.6',
    'jinja2>=3.1.6,<4',
    'pyyaml>=6,<7',
]
REPORTING = [
    'rich>=13,<16',
    'tensorboard>=2.20,<3',
    'matplotlib>=3.9,<4',
    'sacrebleu>=2.4,<3',
    'rouge-score>=0.1.2,<0.2',
    'scikit-learn>=1.5,<2',
]
QUANTIZATION = 'qwix>=0.1.8,<0.2'
# For TPUs and GPUs that are not there: libtpu, and jax's CUDA plugin (of jax's own version) with ptxas.
COMPILERS = ['jax[tpu,cuda13-local]>=0.10,<0.12', 'nvidia-cuda-nvcc>=13,<14']
# Beam needs protobuf below 7, for which sentencepiece is not made from 0.2.3 on.
BEAM = ['apache-beam>=2.70,<3', 'sentencepiece>=0.2,<0.2.3']
PARITY = ['torch>=2.6,<3', 'transformers>=4.50,<6']

setup(
    name='flan_tune',
    version='0.1.0',
    description='Instruction finetuning in JAX: SeqIO tasks, pjit-partitioned Flax NNX models, gin runs.',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.11',
    package_dir={'flan_tune.tasks': 'tasks', 'flan_tune.gin': 'gin'},
    packages=[
        *find_packages(include=['flan_tune', 'flan_tune.*']),
        'flan_tune.tasks',
        *(f'flan_tune.tasks.{name}' for name in find_packages('tasks')),
        'flan_tune.gin',
        *(f'flan_tune.gin.{name}' for name in find_namespace_packages('gin')),
    ],
    package_data={'': ['*.gin', '*.model', '*.html', '*.md', '*.json']},
    include_package_data=False,
    install_requires=[*CORE, *DATA, *REPORTING],
    extras_require={
        'test': [
            'pytest>=8,<10',
            'hypothesis>=6.100,<7',
            'setuptools>=77',
            QUANTIZATION,
            *COMPILERS,
            *BEAM,
        ],
        'tpu': ['jax[tpu]>=0.10,<0.12'],
        'cuda': ['jax[cuda13]>=0.10,<0.12'],
        'plan': [*COMPILERS, 'nvidia-cudnn-cu13>=9,<10'],
        'quantization': [QUANTIZATION],
        'beam': BEAM,
        'lm_eval': ['lm_eval>=0.4.13,<0.5'],
        'parity': PARITY,
    },
    entry_points={'console_scripts': ['flan_tune=flan_tune.cli:console']},
)
