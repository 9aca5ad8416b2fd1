"""RealToxicityPrompts (Gehman et al. 2020): sampled continuations, and what scores them."""
