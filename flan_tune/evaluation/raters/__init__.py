"""Which of two systems is preferred: pairs, people, and a model as judge."""
