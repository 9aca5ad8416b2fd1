"""Spider's exact set match (Yu et al. 2018): queries as clauses, and when two are the same."""
